"""In which order LiteLLM 1.106.2 asks deployments for one request, when each of them fails.

Read from its ``async_function_with_fallbacks`` and ``run_async_fallback`` and compared with its real Router by a test: a group's
further orders come first, then its chain; each target brings its own further orders and its own chain with it, before the next
target is asked. A target without a chain goes on with that of the name the client used. Nothing is asked twice.

The audit walks any file, as any release (audit/walk.py). The plan has no file yet when it decides which fallbacks are of use, and
goes many ways for that. A test goes the ways of made-up fleets with both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# LiteLLM's own default (ROUTER_MAX_FALLBACKS); ours is never lower.
LEAST_MAX_FALLBACKS = 5


@dataclass(frozen=True)
class Attempt:
    """One deployment that is asked: the alias and the deployment's order in it."""

    alias: str
    order: int


@dataclass(frozen=True)
class Routes:
    """``levels``: alias -> how many deployments it has, one for each order. ``chains``: name -> targets, none of them empty."""

    levels: Mapping[str, int]
    chains: Mapping[str, Sequence[str]]


@dataclass
class _Request:
    """One request on its way; ``name`` is what the client asked for."""

    name: str
    routes: Routes
    tried: list[Attempt] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def ask(self, alias: str, order: int) -> None:
        self.tried.append(Attempt(alias, order))
        self.known.add(alias)
        for further in range(order + 1, self.routes.levels[alias] + 1):
            if Attempt(alias, further) not in self.tried:
                self.ask(alias, further)
        for target in self.routes.chains.get(alias) or self.routes.chains.get(self.name, ()):
            if target not in self.known:
                self.ask(target, 1)


def walk(name: str, routes: Routes, tier: str | None = None) -> list[Attempt]:
    """Every deployment that is asked for one request for ``name``; ``tier``: the alias that a complexity router chose."""
    request = _Request(name, routes)
    request.ask(tier or name, 1)
    return request.tried


def max_fallbacks(walks: Sequence[Sequence[Attempt]]) -> int:
    """How many hops LiteLLM has to allow so that no walk ends early: each order of a group is a hop like each target."""
    return max([LEAST_MAX_FALLBACKS, *(len(attempts) - 1 for attempts in walks)])
