"""What LiteLLM does with one request when hosts are down: who is asked, how often, how long that can take.

Bounds, not forecasts: nothing has cooled down yet, and a host that is down holds each request for its whole timeout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..litellm_release import Release, parse_release
from .addresses import is_environment
from .config import CHAIN_SECTIONS, Config, Deployment, Target, is_true, mapping, number
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
# What a policy of retries calls a host that is down: it is silent, or it refuses.
DOWN_ERRORS = ("TimeoutErrorRetries", "InternalServerErrorRetries", "DefaultRetries")
# A request in a loop is cut there; it is far beyond anything that a client waits for.
MOST_ATTEMPTS = 500
# All ways of one file together; a file with more of them is followed that far.
MOST_WORK = 50_000
# So many names in a chain cost as much as one attempt.
CHEAP = 8
# A name that leads to more others is followed anew for each set of hosts.
MOST_NEAR = 64

# The place of an order among others: numbers first, then text.
Rank = tuple[bool, float, str]
# A name, and the level of its group's order at which it is entered; None: whichever LiteLLM begins with.
Step = tuple[str, Rank | None]


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

    def take(self, other: Walk) -> None:
        """Go on with what another way came to."""
        self.attempts += other.attempts
        self.asked += other.asked
        self.seconds = None if self.seconds is None or other.seconds is None else self.seconds + other.seconds
        self.deployment, self.name = other.deployment, other.name


@dataclass(frozen=True)
class _Luck:
    """Who would answer if the strategy picked well, after how many attempts and seconds."""

    deployment: Deployment
    name: str
    attempts: int
    seconds: float | None


@dataclass
class _Request:
    """One request on its way. ``name``: what the client asked for."""

    name: str
    down: frozenset[str]
    embedding: bool
    way: Walk
    luck: _Luck | None = None
    seen: set[Step] = field(default_factory=set)
    # What a list says, and at which level that would have been entered.
    too_deep: list[tuple[Step, Step]] = field(default_factory=list)


class Walker:
    """Walks the ways of one configuration."""

    def __init__(self, config: Config, names: Names, release: Release) -> None:
        self._config, self._names, self._release = config, names, release
        self._known: dict[tuple[str, frozenset[str]], Walk] = {}
        self._reached: dict[str, frozenset[str] | None] = {}
        self._ranked: dict[str, list[Rank]] = {}
        self._retried: dict[tuple[str, Deployment], int] = {}
        self._pools: dict[Step, list[Deployment]] = {}
        self._leading: dict[str, set[str]] = {}
        self._once = release >= NAMES_ONCE
        self._left = MOST_WORK
        wanted = config.setting("max_fallbacks", *CHAIN_SECTIONS)
        depth = number(wanted)
        self._deepest = int(depth) if depth is not None and 0 <= depth < MOST_ATTEMPTS else MOST_FALLBACKS
        # The first fallback fails with a TypeError then.
        self._deepest = 0 if isinstance(wanted, str) and not is_environment(wanted) else self._deepest

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
        way = request.way
        if not self._try(request, (name, None), 0) and request.luck:
            luck = request.luck
            way.certain, way.deployment, way.name = False, luck.deployment, luck.name
            way.attempts, way.seconds = luck.attempts, luck.seconds
        way.unreached = self._unreached(request)
        return way

    def _unreached(self, request: _Request) -> list[str]:
        """What was too deep, and whose deployments nobody asked under another name or before."""
        asked = {id(item) for item in request.way.asked}
        deep = dict.fromkeys(request.too_deep)
        missed = [entry for entry, place in deep if any(id(item) not in asked for item in self._own(*place))]
        names = (name if level is None else f"order {self._pool(name, level)[0].order} of {name}" for name, level in missed)
        return list(dict.fromkeys(names))

    def _own(self, name: str, level: Rank | None) -> list[Deployment]:
        """The deployments of a level; of a name that leads to nothing, or to a router, none."""
        return [item for item in self._pool(name, level) if not item.is_router]

    def _try(self, request: _Request, step: Step, depth: int, router: str | None = None) -> bool:
        """One level of one group, then what LiteLLM asks when that fails: further levels, the chain, theirs in turn.

        As run_async_fallback of 1.106.2: the depth grows with each attempt of a list, those before it included, and a list is
        begun only while it is below max_fallbacks. ``router``: the one that chose this group. True: somebody answers for certain.
        """
        if request.way.attempts > MOST_ATTEMPTS:
            return False
        items = self._names.deployments(step[0])
        if any(item.is_router for item in items):
            return self._routed(request, step, items[0], depth)
        if self._answered(request, step, depth, router):
            return True
        # Up to 1.98.1 it is the router that is kept as asked.
        name = router if router and self._release < CHAIN_OF_ASKED else step[0]
        request.seen.add((name, None))
        entries = self._following(request, step, router)
        request.way.work += len(entries) // CHEAP
        following = [entry for entry in entries if entry != (name, None) and not self._done(request, entry)]
        entered = list(zip(following, self._entered(following, step[1]), strict=True))
        if depth >= self._deepest:
            request.too_deep += entered
            return False
        for entry, place in entered:
            if not self._done(request, entry):
                depth += 1
                request.seen.add(entry)
                if self._try(request, place, depth):
                    return True
        return False

    def _entered(self, entries: list[Step], carried: Rank | None) -> Iterator[Step]:
        """Where entries are entered: up to 1.98.1 the level that was tried last stays in the request, for other groups too."""
        for name, level in entries:
            carried = level if level is not None or self._release >= CHAIN_OF_ASKED else carried
            yield name, carried

    def _done(self, request: _Request, entry: Step) -> bool:
        """Whether a release that asks nobody twice has asked that."""
        return self._once and entry in request.seen

    def _following(self, request: _Request, step: Step, router: str | None) -> list[Step]:
        """The further levels of a group, those of a tier from some release on, and the chain."""
        name, level = step
        ranks = [] if router and self._release < CHAIN_OF_ASKED else self._ranks(name)
        first = ranks[0] if ranks and level is None else level
        further = [(name, rank) for rank in ranks if first is not None and rank > first]
        return [*further, *((target.name, None) for target in self._targets(request, name, router))]

    def _targets(self, request: _Request, name: str, router: str | None) -> tuple[Target, ...]:
        """A name's own chain, that of the router before a tier; from some release on that of what the client asked for.

        The default of all names stands in where none of these has a chain of its own, not behind one.
        """
        late = self._release >= CHAIN_OF_ASKED
        names = [*([name] if late or not router else []), *([router] if router else [])]
        keys = self._names.keys
        found = (keys.own(item) for item in [*names, *([request.name] if late else [])])
        chain = next((item for item in found if item), None) or keys.default()
        return chain.targets if chain else ()

    def _ranks(self, name: str) -> list[Rank]:
        """The levels of a name's group through which this release fails over."""
        if name not in self._ranked:
            orders = {_rank(item.order) for item in self._names.deployments(name) if item.order is not None}
            several = self._release >= ORDER_FAILOVER and len(orders) > 1 and self._names.has_levels(name)
            self._ranked[name] = sorted(orders) if several else []
        return self._ranked[name]

    def _pool(self, name: str, level: Rank | None) -> list[Deployment]:
        """The deployments among which one is picked when a name is entered at a level, or without one."""
        if (name, level) not in self._pools:
            self._pools[name, level] = self._pooled(self._names.deployments(name) or self._stand_in(), level)
        return self._pools[name, level]

    def _stand_in(self) -> tuple[Deployment, ...]:
        """Who answers for a name that nothing answers to: the first of default_fallbacks, where there are any."""
        default = next((chain for chain in self._config.chains if chain.kind == "default_fallbacks" and chain.targets), None)
        found = self._names.deployments(default.targets[0].name) if default else ()
        return tuple(item for item in found if not item.is_router)

    def _pooled(self, deployments: tuple[Deployment, ...], level: Rank | None) -> list[Deployment]:
        late = self._release >= ORDER_FAILOVER
        if not late and self._config.section("router_settings").get("enable_pre_call_checks") is not True:
            return list(deployments)
        orders = [item.order if late else item.params.get("order") for item in deployments]
        ranks = [None if order is None else _rank(order) for order in orders]
        wanted = min((rank for rank in ranks if rank is not None), default=None) if level is None else level
        # A level that the group does not have leaves all of them.
        return [item for item, rank in zip(deployments, ranks, strict=True) if rank == wanted] or list(deployments)

    def _answered(self, request: _Request, step: Step, depth: int, router: str | None) -> bool:
        """One level of a group, retries within it; True: for certain."""
        way, pool = request.way, self._pool(*step)
        way.work += 1 + len(pool)
        if not pool:
            return False
        serving = [item for item in pool if item.host not in request.down and serves(item, request.embedding)]
        if len(serving) == len(pool):
            way.attempts += 1
            way.deployment, way.name = pool[0], step[0]
            return True
        allowed = self._deepest - depth if not router and self._spreads(step[0]) else 0
        return self._spent(request, step[0], pool, serving, allowed)

    def _spent(self, request: _Request, name: str, pool: list[Deployment], serving: list[Deployment], failovers: int) -> bool:
        """Failed attempts on a level; what may go well by luck is kept for the case that nothing goes well for certain.

        ``failovers``: how often LiteLLM leaves out who has failed and picks again.
        """
        way = request.way
        up = {id(item) for item in serving}
        dead = [item for item in pool if id(item) not in up]
        tries = 1 + max(self.retries(name, item) for item in dead)
        if serving and len(dead) <= failovers:
            self._pay([item for item in dead for _once in range(tries)], way)
            way.attempts += 1
            way.deployment, way.name = serving[0], name
            return True
        if serving and request.luck is None:
            lucky = Walk(attempts=way.attempts, seconds=way.seconds)
            self._pay(dead[:1] * (tries - 1), lucky)
            request.luck = _Luck(serving[0], name, lucky.attempts + 1, lucky.seconds)
        rounds = 1 + max(0, min(len(dead) - 1, failovers))
        self._pay([dead[number % len(dead)] for number in range(tries * rounds)], way)
        pauses = 0.0 if len(pool) > 1 else _pauses_s(tries - 1)
        way.seconds = None if way.seconds is None else way.seconds + pauses
        return False

    def retries(self, name: str, item: Deployment) -> int:
        """How often LiteLLM asks again after that deployment: at most, a policy knows kinds of errors."""
        if (name, item) not in self._retried:
            self._retried[name, item] = self._retries(name, item)
        return self._retried[name, item]

    def _retries(self, name: str, item: Deployment) -> int:
        policies = mapping(self._config.section("router_settings").get("model_group_retry_policy"))
        policy = mapping(policies.get(name) or self._config.section("router_settings").get("retry_policy"))
        allowed = [int(value) for key in DOWN_ERRORS if (value := number(policy.get(key))) is not None and 0 <= value <= 1000]
        own = item.retries if item.retries is not None else self._config.retries
        return max([own, *allowed])

    def _spreads(self, name: str) -> bool:
        """Whether a failed deployment is left out when LiteLLM picks the next one: weighted failover, of simple-shuffle only.

        In a group with several orders it begins anew with the first of them.
        """
        return self._weighted and self._config.strategy_of(name) == "simple-shuffle" and not self._ranks(name)

    @cached_property
    def _weighted(self) -> bool:
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

    def _routed(self, request: _Request, step: Step, router: Deployment, depth: int) -> bool:
        """A router serves if each of its tiers does; the worst tier counts."""
        name = step[0]
        ways: list[tuple[int, int, int, _Request]] = []
        for tier in dict.fromkeys(target for _place, target in tier_places(router) if target != name):
            own = _Request(request.name, request.down, request.embedding, Walk(), seen=set(request.seen))
            nested = any(item.is_router for item in self._names.deployments(tier))
            done = not nested and self._try(own, (tier, step[1]), depth, name)
            ways.append(((not done) + (not done and not own.luck), own.way.attempts, len(ways), own))
        if not ways:
            return False
        bad, _attempts, _index, worst = max(ways)
        before = request.way.attempts, request.way.seconds
        request.way.take(worst.way)
        request.way.work += sum(own.way.work for *_rank, own in ways)
        request.too_deep += worst.too_deep
        if bad == 1 and worst.luck and request.luck is None:
            request.luck = _after(worst.luck, *before)
        return bad == 0


def _after(luck: _Luck, attempts: int, seconds: float | None) -> _Luck:
    """The same later on."""
    total = None if luck.seconds is None or seconds is None else luck.seconds + seconds
    return replace(luck, attempts=luck.attempts + attempts, seconds=total)


def serves(item: Deployment, embedding: bool) -> bool:
    """Whether a deployment can answer that kind of request at all."""
    return item.is_embedding == embedding and not (embedding and item.prefix == "ollama_chat")


def _rank(order: object) -> Rank:
    value = number(order)
    return (value is None, value or 0.0, str(order))


def _pauses_s(retries: int) -> float:
    return sum(min(FIRST_PAUSE_S * 2.0**index, LONGEST_PAUSE_S) * JITTER for index in range(min(retries, 64)))
