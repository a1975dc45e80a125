"""Does what is said about the router agree with the rest? Names that must exist and differ, modes that must match."""

from __future__ import annotations

from collections.abc import Iterator

from ..module_utils import client_keys
from .fleet import Fleet
from .fleet_router import Smart
from .problems import Path, Problem, suggestion
from .routing_ids import deployment_id, smart_id
from .routing_plan import allowed_s, default_of

# In the models of a key these are words of LiteLLM's own (SpecialModelNames): the first two open more than they name.
SPECIAL_NAMES = frozenset({"all-proxy-models", "all-team-models", "no-default-models"})


def router_problems(fleet: Fleet) -> list[Problem]:
    """Every disagreement; asked when the assignments agree with the rest."""
    names = [*_special_names(fleet), *_fallbacks(fleet), *_smart_names(fleet), *_tiers(fleet)]
    return [*names, *_clients(fleet), *_ids(fleet), *_timeouts(fleet)]


def _special_names(fleet: Fleet) -> Iterator[Problem]:
    places: list[tuple[str, ...]] = [("llm_assignments", name) for name in fleet.assignments]
    for path in [*places, *(("llm_router", "smart", name) for name in fleet.router.smart)]:
        if path[-1] in SPECIAL_NAMES:
            yield Problem(path, f"the name {path[-1]}", "a name without a meaning of its own for LiteLLM", "Rename it.")


def _fallbacks(fleet: Fleet) -> Iterator[Problem]:
    names = [*fleet.assignments, *fleet.router.smart]
    for name, targets in fleet.router.fallbacks.items():
        path: Path = ("llm_router", "fallbacks", name)
        if name not in names:
            yield Problem(path, f"the alias {name}", "an assigned alias or a name of smart", suggestion(name, names))
            continue
        for index, target in enumerate(targets):
            yield from _fallback(fleet, name, target, (*path, index), repeated=target in targets[:index])


def _fallback(fleet: Fleet, name: str, target: str, path: Path, repeated: bool) -> Iterator[Problem]:
    mode = fleet.workloads[name].mode if name in fleet.assignments else "chat"
    if target not in fleet.assignments:
        yield Problem(path, f"the alias {target}", "an assigned alias", suggestion(target, fleet.assignments))
    elif target == name or repeated:
        yield Problem(path, f"{target} again", "another alias", "Remove it: it has been tried by then.")
    elif fleet.workloads[target].mode != mode:
        remedy = "A chat alias cannot answer for an embedding one, nor the other way round."
        yield Problem(path, f"{target}, which is for {fleet.workloads[target].mode}", "the same mode", remedy)


def _smart_names(fleet: Fleet) -> Iterator[Problem]:
    for name in fleet.router.smart:
        taken = "a workload" if name in fleet.workloads else "a model" if name in fleet.models else None
        if taken:
            remedy = "Rename it: clients would not know which of the two answers them."
            yield Problem(("llm_router", "smart", name), f"the name of {taken}", "a name of its own", remedy)


def _tiers(fleet: Fleet) -> Iterator[Problem]:
    for name, smart in fleet.router.smart.items():
        path: Path = ("llm_router", "smart", name)
        targets: list[tuple[Path, str]] = [((*path, "tiers", tier), alias) for tier, alias in smart.tiers.model_dump().items()]
        if smart.default is not None:
            targets.append(((*path, "default"), smart.default))
        wrong = [problem for place, alias in targets for problem in _tier(fleet, place, alias)]
        yield from wrong
        if smart.modality_routing and not wrong:
            yield from _images(fleet, (*path, "modality_routing"), smart)


def _tier(fleet: Fleet, path: Path, alias: str) -> Iterator[Problem]:
    chat = [name for name in fleet.assignments if fleet.workloads[name].mode == "chat"]
    if alias not in fleet.assignments:
        yield Problem(path, f"the alias {alias}", "an assigned alias for chat", suggestion(alias, chat))
    elif alias not in chat:
        remedy = f"LiteLLM's complexity router reads prompts. Aliases for chat: {', '.join(chat) or 'none'}."
        yield Problem(path, f"{alias}, which is for {fleet.workloads[alias].mode}", "an alias for chat", remedy)


def _images(fleet: Fleet, path: Path, smart: Smart) -> Iterator[Problem]:
    """LiteLLM takes a model of which nobody said anything for one that takes images."""
    aliases = list(dict.fromkeys([*smart.tiers.model_dump().values(), default_of(smart)]))
    models = {alias: [fleet.models[item.model].images for item in fleet.assignments[alias]] for alias in aliases}
    unknown = sorted({item.model for alias in aliases for item in fleet.assignments[alias]} - _known(fleet))
    if unknown:
        remedy = f"Say images: true or images: false of {', '.join(unknown)} in llm_models."
        yield Problem(path, "models of which nobody said whether they take images", "models that say it", remedy)
    elif not any(all(said) for said in models.values()):
        remedy = "Give one tier models that take images, on each of its hosts, or leave modality_routing out."
        yield Problem(path, "no tier whose models all take images", "one that images can be sent to", remedy)


def _known(fleet: Fleet) -> set[str]:
    return {name for name, model in fleet.models.items() if model.images is not None}


def _clients(fleet: Fleet) -> Iterator[Problem]:
    names = [*fleet.assignments, *fleet.router.smart]
    for client, said in fleet.router.clients.items():
        if not client_keys.NAME.fullmatch(client):
            remedy = "A file with its key has that name too."
            yield Problem(("llm_router", "clients", client), client, "letters, digits, dot, dash and underscore", remedy)
        for index, alias in enumerate(said.aliases):
            path: Path = ("llm_router", "clients", client, "aliases", index)
            if alias not in names:
                yield Problem(path, f"the alias {alias}", "an assigned alias or a name of smart", suggestion(alias, names))
            elif alias in said.aliases[:index]:
                yield Problem(path, f"{alias} again", "each name once", "Remove one of them.")


def _ids(fleet: Fleet) -> Iterator[Problem]:
    """LiteLLM wants each id once, and takes an id for a name that can be asked for."""
    owners: dict[str, str] = {name: f"the alias {name}" for name in [*fleet.assignments, *fleet.router.smart]}
    found: list[tuple[Path, str, str]] = [
        (("llm_assignments", alias, index), deployment_id(f"{item.host}--{item.model}", alias), f"{item.model} on {item.host}")
        for alias, items in fleet.assignments.items()
        for index, item in enumerate(items)
    ]
    found += [(("llm_router", "smart", name), smart_id(name), f"the router {name}") for name in fleet.router.smart]
    for path, made, owner in found:
        if made in owners:
            remedy = "Rename the alias, the host or the model, so that host--model--alias is said by one only."
            yield Problem(path, f"the id {made}, which is {owners[made]}'s", "an id of its own", remedy)
        owners.setdefault(made, owner)


def _timeouts(fleet: Fleet) -> Iterator[Problem]:
    for alias in fleet.assignments:
        workload = fleet.workloads[alias]
        metric = workload.objective.metric if workload.objective else "e2e_s"
        limits = {"timeout_s": workload.timeout_s, "stream_timeout_s": workload.stream_timeout_s if metric == "ttft_s" else None}
        for key, limit_s in limits.items():
            if limit_s is not None and limit_s < allowed_s(workload):
                expected = f"no less than the objective's limit of {allowed_s(workload):g} s"
                remedy = "Answers that are good enough would be cut off."
                yield Problem(("llm_workloads", alias, key), f"{limit_s:g}", expected, remedy)
        longest = workload.timeout_s
        if longest is not None and workload.stream_timeout_s is not None and workload.stream_timeout_s > longest:
            path: Path = ("llm_workloads", alias, "stream_timeout_s")
            remedy = "A silence is part of the answer: leave it out, or raise timeout_s."
            yield Problem(path, f"{workload.stream_timeout_s:g}", f"at most timeout_s, which is {longest:g}", remedy)
