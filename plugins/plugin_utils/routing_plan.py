"""The router's part of the plan: which fallbacks are of use, where smart names lead, what each client may be answered by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .fleet import Fleet, Workload
from .fleet_router import Smart
from .routing_walk import Attempt, Routes, max_fallbacks, walk

LeftOut = dict[str, str]


class Routing:
    """Where every name that a client can use leads. Made of a checked fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.names = [*fleet.assignments, *fleet.router.smart]
        self.hosts = {alias: {item.host for item in items} for alias, items in fleet.assignments.items()}
        self.levels = {alias: len(items) for alias, items in fleet.assignments.items()}
        self.kept: dict[str, list[str]] = {name: list(self._wanted(name)) for name in self.names}
        self.left_out: dict[str, list[LeftOut]] = {name: [] for name in self.names}
        self._leave_out(alone=True)
        self._leave_out(alone=False)
        self.walks = {name: [walk(name, self.routes(), tier) for tier in self.starts(name)] for name in self.names}
        self.last_resorts = {attempts[-1] for walks in self.walks.values() for attempts in walks}
        self.max_fallbacks = max_fallbacks([attempts for walks in self.walks.values() for attempts in walks])

    def starts(self, name: str) -> list[str]:
        """The aliases that a request for this name can begin with: itself, or those of its tiers."""
        smart = self.fleet.router.smart.get(name)
        return list(dict.fromkeys([*smart.tiers.model_dump().values(), default_of(smart)])) if smart else [name]

    def routes(self) -> Routes:
        """What LiteLLM is told."""
        return Routes(self.levels, {name: chain for name, chain in self.kept.items() if chain})

    def reached(self, name: str) -> list[str]:
        """Every alias that may answer a request for this name, in the order of the assignments."""
        found = {attempt.alias for attempts in self.walks[name] for attempt in attempts}
        return [alias for alias in self.fleet.assignments if alias in found]

    def cooldown_s(self, alias: str, order: int) -> float:
        """How long this deployment is left alone after a failure: not at all where nobody else would be asked after it.

        A prompt on which every engine fails would otherwise end with a name that nobody may answer for the whole cooldown.
        """
        return 0.0 if Attempt(alias, order) in self.last_resorts else self.fleet.router.cooldown_s

    def _wanted(self, name: str) -> Sequence[str]:
        """What a person said; a smart name without a word of theirs is answered by its other tiers."""
        return self.fleet.router.fallbacks.get(name) or (self.starts(name) if name in self.fleet.router.smart else ())

    def _leave_out(self, alone: bool) -> None:
        """Drop targets that add no host: by the chain itself, then by what its targets lead to, while no name loses a host."""
        for name in self.names:
            for target in list(self.kept[name]):
                if not self._in_vain(name, target, alone):
                    continue
                before = self._all_hosts()
                position = self.kept[name].index(target)
                self.kept[name].remove(target)
                if not alone and self._all_hosts() != before:
                    self.kept[name].insert(position, target)
                else:
                    self.left_out[name].append({"alias": target, "reason": self._reason(target)})

    def _in_vain(self, name: str, target: str, alone: bool) -> bool:
        chains = {name: self.kept[name]} if alone else self.routes().chains
        walks = [walk(name, Routes(self.levels, chains), start) for start in self.starts(name)]
        return all(self.hosts[target] <= self._before(attempts, target) for attempts in walks)

    def _before(self, attempts: Sequence[Attempt], target: str) -> set[str]:
        """The hosts that have been asked when it is the target's turn."""
        turn = next((index for index, attempt in enumerate(attempts) if attempt.alias == target), len(attempts))
        # Where the complexity router itself began with the target, it is no fallback.
        return self._asked(attempts if turn == 0 else attempts[:turn])

    def _asked(self, attempts: Sequence[Attempt]) -> set[str]:
        return {self.fleet.assignments[attempt.alias][attempt.order - 1].host for attempt in attempts}

    def _all_hosts(self) -> list[set[str]]:
        return [self._asked(walk(name, self.routes(), start)) for name in self.names for start in self.starts(name)]

    def _reason(self, target: str) -> str:
        hosts = sorted(self.hosts[target])
        return f"served only by {', '.join(hosts)}, which {'has' if len(hosts) == 1 else 'have'} failed by then"


def default_of(smart: Smart) -> str:
    """The alias that answers where no tier can be told."""
    return smart.default or smart.tiers.MEDIUM


def timeout_s(fleet: Fleet, alias: str) -> float:
    """How long the router waits for an answer: never less than the workload's objective allows for it."""
    workload = fleet.workloads[alias]
    return workload.timeout_s or max(fleet.router.timeout_s, allowed_s(workload))


def allowed_s(workload: Workload) -> float:
    """How long an answer may take and still be what the workload needs."""
    return workload.objective.limit if workload.objective else 0.0


def router_part(fleet: Fleet, routing: Routing) -> dict[str, Any]:
    """``router`` of the plan: what was said, with every name that a client can be answered by."""
    said = fleet.router.model_dump(exclude={"fallbacks", "smart", "clients"})
    listen = fleet.router.listen_address
    url = (fleet.router.url or f"http://{f'[{listen}]' if ':' in listen else listen}:{fleet.router.port}").rstrip("/")
    return {
        **said,
        "url": url,
        "host": fleet.router_host,
        "max_fallbacks": routing.max_fallbacks,
        "smart": {name: _smart(name, smart, routing) for name, smart in fleet.router.smart.items()},
        "clients": {
            name: {"aliases": item.aliases, "models": list(_models(item.aliases, routing))}
            for name, item in fleet.router.clients.items()
        },
    }


def _smart(name: str, smart: Smart, routing: Routing) -> dict[str, Any]:
    return {
        **smart.model_dump(),
        "default": default_of(smart),
        "fallbacks": routing.kept[name],
        "fallbacks_left_out": routing.left_out[name],
    }


def _models(asked: Sequence[str], routing: Routing) -> Iterator[str]:
    """What a key has to allow: LiteLLM checks it for each name on the way, fallbacks and tiers included."""
    reached = {alias for name in asked for alias in routing.reached(name)}
    yield from (name for name in routing.names if name in reached or name in asked)


def alias_part(fleet: Fleet, alias: str, routing: Routing, hosts: Mapping[str, Any]) -> dict[str, Any]:
    """One alias of the plan."""
    workload = fleet.workloads[alias]
    return {
        "mode": workload.mode,
        "deployments": [
            {
                **_deployment(fleet, item.host, item.model, order, hosts[item.host]),
                "cooldown_s": routing.cooldown_s(alias, order),
            }
            for order, item in enumerate(fleet.assignments[alias], 1)
        ],
        "fallbacks": routing.kept[alias],
        "fallbacks_left_out": routing.left_out[alias],
        "timeout_s": timeout_s(fleet, alias),
        "stream_timeout_s": workload.stream_timeout_s,
    }


def _deployment(fleet: Fleet, host_name: str, model: str, order: int, host: Mapping[str, Any]) -> dict[str, Any]:
    resident = next(item for item in host["resident"] if item["model"] == model)
    reason = "assigned first" if order == 1 else f"assigned as number {order}: answers when those before it are down"
    return {
        "id": f"{host_name}--{model}",
        "host": host_name,
        "model": model,
        "engine_model": resident["engine_model"],
        "engine": host["engine"],
        "url": resident["url"],
        "api_key_variable": fleet.hosts[host_name].api_key_variable,
        "images": fleet.models[model].images,
        "order": order,
        "reason": reason,
    }
