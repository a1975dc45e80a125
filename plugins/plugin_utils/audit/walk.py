"""What LiteLLM does with one request when hosts are down: who is asked, how often, how long that can take.

Bounds, not forecasts: nothing has cooled down yet, and a host that is down holds each request for its whole timeout.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from ..litellm_release import Release, parse_release
from .config import CHAIN_SECTIONS, Config, Deployment, Target, is_true, number
from .litellm_keys import known
from .names import Names, tier_places

# A group fails over from order to order (reference 2.2).
ORDER_FAILOVER = parse_release("1.83.0")
# From here on each name is tried once per request; before, loops ran on to the depth (reference 2.4).
NAMES_ONCE = parse_release("1.98.1")
# From about here on a name without a chain goes on with that of the name that the client used (seen in 1.106.2, not in 1.98.1).
CHAIN_OF_ASKED = parse_release("1.103.11")
# LiteLLM's default (ROUTER_MAX_FALLBACKS).
MOST_FALLBACKS = 5
# Pauses between retries grow from 0.5 s and end at 8 s (INITIAL_RETRY_DELAY, MAX_RETRY_DELAY; jitter up to three quarters more).
FIRST_PAUSE_S, LONGEST_PAUSE_S, JITTER = 0.5, 8.0, 1.75
# A request in a loop is cut there; it is far beyond anything that a client waits for.
MOST_ATTEMPTS = 500
# All ways of one file together; a file with more of them is followed that far.
MOST_WORK = 100_000
# So many names in a chain cost as much as one attempt.
CHEAP = 8
# A name that leads to more others is followed anew for each set of hosts.
MOST_NEAR = 64

# A name, and which level of its group's order.
Step = tuple[str, int]


@dataclass
class Walk:
    """``deployment``: who answered, None: nobody. ``certain``: whether that is so whatever the strategy picks first.

    ``seconds``: at most, before the answer begins; None: no timeout bounds it. ``unreached``: names that were too deep.
    """

    deployment: Deployment | None = None
    name: str | None = None
    certain: bool = True
    attempts: int = 0
    seconds: float | None = 0.0
    unreached: list[str] = field(default_factory=list)
    asked: list[Deployment] = field(default_factory=list)
    work: int = 0
    # Nobody followed it to its end: the file has too many ways.
    cut: bool = False

    def add(self, other: Walk, work: int) -> None:
        """Go on with what another way came to."""
        self.attempts += other.attempts
        self.work += work
        self.asked += other.asked
        self.certain = self.certain and other.certain
        self.seconds = None if self.seconds is None or other.seconds is None else self.seconds + other.seconds
        self.deployment, self.name = other.deployment, other.name


@dataclass
class _Request:
    """One request on its way. ``name``: what the client asked for; ``tier``: what a router chose for it."""

    name: str
    down: frozenset[str]
    embedding: bool
    way: Walk
    tier: str | None = None
    seen: set[Step] = field(default_factory=set)
    too_deep: list[Step] = field(default_factory=list)


class Walker:
    """Walks the ways of one configuration."""

    def __init__(self, config: Config, names: Names, release: Release) -> None:
        self._config, self._names, self._release = config, names, release
        self._known: dict[tuple[str, frozenset[str]], Walk] = {}
        self._reached: dict[str, frozenset[str] | None] = {}
        self._ranked: dict[str, list[list[Deployment]]] = {}
        self._leading: dict[str, set[str]] = {}
        self._once = release >= NAMES_ONCE
        self._left = MOST_WORK
        wanted = number(config.setting("max_fallbacks", *CHAIN_SECTIONS))
        self._deepest = int(wanted) if wanted is not None and 0 <= wanted < MOST_ATTEMPTS else MOST_FALLBACKS

    def walk(self, name: str, down: frozenset[str]) -> Walk:
        """A request for a name while hosts are down."""
        near = self._near(name)
        key = (name, down if near is None else down & near)
        if key not in self._known:
            self._known[key] = self._walked(*key) if self._left > 0 else Walk(cut=True)
            self._left -= 1 + self._known[key].work
        return self._known[key]

    def _near(self, name: str) -> frozenset[str] | None:
        """The hosts that can matter to a name, None where it leads to very many others."""
        if name not in self._reached:
            found, waiting = {name}, [name]
            while waiting and len(found) <= MOST_NEAR:
                leads = self._leads(waiting.pop())
                waiting += leads - found
                found |= leads
            hosts = None if waiting else frozenset(host for item in found for host in self._names.hosts(item))
            self._reached[name] = hosts
        return self._reached[name]

    def _leads(self, name: str) -> set[str]:
        if name not in self._leading:
            chain = self._names.chain(name)
            tiers = (tier for item in self._names.deployments(name) if item.is_router for _place, tier in tier_places(item))
            self._leading[name] = {*tiers, *(target.name for target in (chain.targets if chain else ()))}
        return self._leading[name]

    def _walked(self, name: str, down: frozenset[str]) -> Walk:
        embedding = any(item.is_embedding for item in self._names.models(name))
        request = _Request(name, down, embedding, Walk())
        self._try(request, (name, 0), 0)
        request.way.unreached = self._unreached(request)
        return request.way

    def _unreached(self, request: _Request) -> list[str]:
        """What was too deep, and whose deployments nobody asked under another name or before."""
        asked = {id(item) for item in request.way.asked}
        missed = [step for step in dict.fromkeys(request.too_deep) if any(id(item) not in asked for item in self._own(*step))]
        return [name if not level else f"order {self._level(name, level)[0].order} of {name}" for name, level in missed]

    def _own(self, name: str, index: int) -> list[Deployment]:
        """The deployments of a level; of a name that leads to nothing, or to a router, none."""
        return [item for item in self._level(name, index) if not item.is_router]

    def _try(self, request: _Request, step: Step, depth: int) -> bool:
        """One level of one group, then what LiteLLM asks when that fails: further levels, the chain, theirs in turn.

        As run_async_fallback of 1.106.2: the depth grows with each attempt of a list, those before it included, and a list is
        begun only while it is below max_fallbacks.
        """
        if request.way.attempts > MOST_ATTEMPTS:
            return False
        request.seen.add(step)
        items = self._names.deployments(step[0])
        if any(item.is_router for item in items):
            return self._routed(request, step[0], items[0], depth)
        if self._answered(request, step):
            return True
        following = self._following(request, step)
        request.way.work += len(following) // CHEAP
        following = [entry for entry in following if not self._done(request, entry)]
        if depth >= self._deepest:
            request.too_deep += following
            return False
        for entry in following:
            if not self._done(request, entry):
                depth += 1
                if self._try(request, entry, depth):
                    return True
        return False

    def _done(self, request: _Request, entry: Step) -> bool:
        """Whether a release that asks nobody twice has asked that."""
        return self._once and entry in request.seen

    def _following(self, request: _Request, step: Step) -> list[Step]:
        name, level = step
        further = [(name, index) for index in range(level + 1, len(self._ordered(name)))]
        return [*further, *((target.name, 0) for target in self._targets(request, name))]

    def _targets(self, request: _Request, name: str) -> tuple[Target, ...]:
        """A name's own chain; from some release on the chain of what the client asked for stands in, of a tier before too."""
        late = self._release >= CHAIN_OF_ASKED
        names = [name] if request.tier != name or late else []
        found = (self._names.chain(item) for item in [*names, *([request.name] if late or request.tier == name else [])])
        chain = next((item for item in found if item), None)
        return chain.targets if chain else ()

    def _ordered(self, name: str) -> list[list[Deployment]]:
        """The levels of a name's group."""
        if name not in self._ranked:
            self._ranked[name] = self._levels(self._names.deployments(name))
        return self._ranked[name]

    def _level(self, name: str, index: int) -> list[Deployment]:
        levels = self._ordered(name)
        return levels[index] if index < len(levels) else []

    def _answered(self, request: _Request, step: Step) -> bool:
        """One level of a group, retries within it."""
        way, level = request.way, self._level(*step)
        way.work += 1 + len(level)
        if not level:
            return False
        serving = [item for item in level if item.host not in request.down and serves(item, request.embedding)]
        if len(serving) == len(level):
            way.attempts += 1
            way.deployment, way.name = level[0], step[0]
            return True
        if self._spent(level, serving, way):
            way.deployment, way.name = serving[0], step[0]
            return True
        return False

    def _spent(self, level: list[Deployment], serving: list[Deployment], way: Walk) -> bool:
        """Failed attempts on a level; True if one that serves is found among them, for certain or by luck."""
        alive = set(serving)
        dead = [item for item in level if item not in alive]
        tries = 1 + self._config.retries
        if serving and (self._spreads or tries > 1):
            way.certain = way.certain and self._spreads
            self._pay(dead if self._spreads else dead[:1] * (tries - 1), way)
            way.attempts += 1
            return True
        self._pay([dead[number % len(dead)] for number in range(tries)], way)
        pauses = 0.0 if len(level) > 1 else _pauses_s(tries - 1)
        way.seconds = None if way.seconds is None else way.seconds + pauses
        return False

    @cached_property
    def _spreads(self) -> bool:
        """Whether a failed deployment is left out when LiteLLM picks the next one of a level."""
        on = is_true(self._config.section("router_settings").get("enable_weighted_failover"))
        return on and "enable_weighted_failover" in known("router_settings", self._release)

    def _pay(self, dead: list[Deployment], way: Walk) -> None:
        for item in dead:
            way.attempts += 1
            way.work += 1
            way.asked.append(item)
            held = self.timeout_s(item)
            way.seconds = None if way.seconds is None or held is None else way.seconds + held

    def timeout_s(self, item: Deployment) -> float | None:
        """How long a host that is switched off holds a request; None where nothing says so."""
        return item.timeout_s or self._config.timeout_s

    def _levels(self, items: tuple[Deployment, ...]) -> list[list[Deployment]]:
        """The deployments that are asked together, level after level."""
        if not items:
            return []
        ordered = [item for item in items if item.order is not None]
        checked = self._config.section("router_settings").get("enable_pre_call_checks") is True
        if not ordered or (self._release < ORDER_FAILOVER and not checked):
            return [list(items)]
        places = sorted({_rank(item) for item in ordered})
        levels = [[item for item in ordered if _rank(item) == place] for place in places]
        return levels if self._release >= ORDER_FAILOVER else levels[:1]

    def _routed(self, request: _Request, name: str, router: Deployment, depth: int) -> bool:
        """A router serves if each of its tiers does; the worst tier counts."""
        ways = []
        for tier in dict.fromkeys(target for _place, target in tier_places(router) if target != name):
            own = _Request(name, request.down, request.embedding, Walk(), tier)
            nested = any(item.is_router for item in self._names.deployments(tier))
            ways.append((not nested and self._try(own, (tier, 0), depth), own))
        if not ways:
            return False
        done, worst = max(ways, key=lambda pair: (not pair[0], pair[1].way.attempts))
        request.way.add(worst.way, sum(own.way.work for _done, own in ways))
        request.too_deep += worst.too_deep
        return done


def serves(item: Deployment, embedding: bool) -> bool:
    """Whether a deployment can answer that kind of request at all."""
    return item.is_embedding == embedding and not (embedding and item.prefix == "ollama_chat")


def _rank(item: Deployment) -> tuple[bool, float, str]:
    value = number(item.order)
    return (value is None, value or 0.0, str(item.order))


def _pauses_s(retries: int) -> float:
    return sum(min(FIRST_PAUSE_S * 2.0**index, LONGEST_PAUSE_S) * JITTER for index in range(min(retries, 64)))
