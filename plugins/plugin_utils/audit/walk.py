"""What LiteLLM does with one request when hosts are down: who is asked, how often, how long that can take.

Bounds, not forecasts: nothing has cooled down yet, and a host that is down holds each request for its whole timeout.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from ..litellm_release import Release, parse_release
from .config import CHAIN_SECTIONS, Config, Deployment, is_true, number
from .litellm_keys import known
from .names import Names, tier_places

# A group fails over from order to order (reference 2.2).
ORDER_FAILOVER = parse_release("1.83.0")
# From here on each name is tried once per request; before, loops ran on to the depth (reference 2.4).
NAMES_ONCE = parse_release("1.98.1")
# LiteLLM's default (ROUTER_MAX_FALLBACKS).
MOST_FALLBACKS = 5
# Pauses between retries grow from 0.5 s and end at 8 s (INITIAL_RETRY_DELAY, MAX_RETRY_DELAY; jitter up to three quarters more).
FIRST_PAUSE_S, LONGEST_PAUSE_S, JITTER = 0.5, 8.0, 1.75
# A request in a loop is cut there; it is far beyond anything that a client waits for.
MOST_ATTEMPTS = 500
# All ways of one file together; a file with more of them is followed that far.
MOST_WORK = 150_000
# A name that leads to more others is followed anew for each set of hosts.
MOST_NEAR = 64


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


class Walker:
    """Walks the ways of one configuration."""

    def __init__(self, config: Config, names: Names, release: Release) -> None:
        self._config, self._names, self._release = config, names, release
        self._known: dict[tuple[str, frozenset[str]], Walk] = {}
        self._reached: dict[str, frozenset[str] | None] = {}
        self._ranked: dict[str, list[list[Deployment]]] = {}
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
        chain = self._names.chain(name)
        tiers = (tier for item in self._names.deployments(name) if item.is_router for _place, tier in tier_places(item))
        return {*tiers, *(target.name for target in (chain.targets if chain else ()))}

    def _walked(self, name: str, down: frozenset[str]) -> Walk:
        way, seen = Walk(), set[str]()
        embedding = any(item.is_embedding for item in self._names.models(name))
        self._try(name, down, embedding, way, 0, seen)
        # Where loops run on, a name may be too deep the second time only.
        way.unreached = [item for item in dict.fromkeys(way.unreached) if item not in seen]
        return way

    def _try(self, name: str, down: frozenset[str], embedding: bool, way: Walk, depth: int, seen: set[str]) -> bool:
        if way.attempts > MOST_ATTEMPTS:
            return False
        seen.add(name)
        if self._answered(name, down, embedding, way):
            return True
        chain = self._names.chain(name)
        for target in chain.targets if chain else ():
            if self._release >= NAMES_ONCE and target.name in seen:
                continue
            if depth >= self._deepest:
                way.unreached.append(target.name)
                return False
            if self._try(target.name, down, embedding, way, depth + 1, seen):
                return True
        return False

    def _answered(self, name: str, down: frozenset[str], embedding: bool, way: Walk) -> bool:
        """One name with its group: the levels of its order one after the other, retries within each."""
        items = self._names.deployments(name)
        if any(item.is_router for item in items):
            return self._routed(name, items[0], down, embedding, way)
        if name not in self._ranked:
            self._ranked[name] = self._levels(items)
        way.work += 1 + len(items)
        for level in self._ranked[name]:
            serving = [item for item in level if item.host not in down and serves(item, embedding)]
            if len(serving) == len(level):
                way.attempts += 1
                way.deployment, way.name = level[0], name
                return True
            if self._spent(level, serving, way):
                way.deployment, way.name = serving[0], name
                return True
        return False

    def _spent(self, level: list[Deployment], serving: list[Deployment], way: Walk) -> bool:
        """Failed attempts on a level; True if one that serves is found among them, for certain or by luck."""
        dead = [item for item in level if item not in serving]
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

    def _routed(self, name: str, router: Deployment, down: frozenset[str], embedding: bool, way: Walk) -> bool:
        """A router serves if each of its tiers does; the worst tier counts."""
        tiers = dict.fromkeys(target for _place, target in tier_places(router) if target != name)
        ways = []
        for tier in tiers:
            own = Walk()
            done = not any(item.is_router for item in self._names.deployments(tier)) and self._answered(
                tier, down, embedding, own
            )
            if not done and self._names.chain(tier) and self._names.chain(name) is None:
                done = self._try(tier, down, embedding, own, 0, {name})
            ways.append((done, own))
        if not ways:
            return False
        done, worst = max(ways, key=lambda pair: (not pair[0], pair[1].attempts))
        way.attempts += worst.attempts
        way.work += sum(own.work for _done, own in ways)
        way.asked += worst.asked
        way.certain = way.certain and worst.certain
        way.seconds = None if way.seconds is None or worst.seconds is None else way.seconds + worst.seconds
        way.deployment, way.name = worst.deployment, worst.name
        return done


def serves(item: Deployment, embedding: bool) -> bool:
    """Whether a deployment can answer that kind of request at all."""
    return item.is_embedding == embedding and not (embedding and item.prefix == "ollama_chat")


def _rank(item: Deployment) -> tuple[bool, float, str]:
    value = number(item.order)
    return (value is None, value or 0.0, str(item.order))


def _pauses_s(retries: int) -> float:
    return sum(min(FIRST_PAUSE_S * 2.0**index, LONGEST_PAUSE_S) * JITTER for index in range(min(retries, 64)))
