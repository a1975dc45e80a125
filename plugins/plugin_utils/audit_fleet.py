"""What an inventory knows about the hosts of a LiteLLM configuration: do the models that it sends there fit at once?"""

from __future__ import annotations

from collections.abc import Mapping

from ..module_utils.ollama_names import same_model
from .audit.addresses import host_of
from .audit.config import Config, Deployment
from .audit.finding import FleetView
from .fit import Find, anywhere
from .fleet import Deployment as Assigned
from .fleet import ExternalSource, Fleet, OllamaSource
from .plan import make_plan
from .problems import IntentError, Path, Problem
from .references import resident_models

Places = dict[tuple[str, str], Path]


def fleet_view(fleet: Fleet, config: Config, addresses: Mapping[str, str], find: Find = anywhere) -> FleetView:
    """Hold the deployments of a configuration against the fleet's hosts. ``addresses``: inventory host -> ansible_host."""
    hosts = _host_names(fleet, addresses)
    resident = {host: frozenset(_engine_name(fleet, name) for name in resident_models(fleet, host)) for host in fleet.hosts}
    wanted, unknown = _wanted(fleet, config, hosts)
    return FleetView(hosts, resident, tuple(_refusals(fleet, wanted, find)), unknown)


def _host_names(fleet: Fleet, addresses: Mapping[str, str]) -> dict[str, str]:
    """What an address in the configuration may say -> inventory host: its name, its address, the host of its url."""
    found: dict[str, str] = {}
    for name, host in fleet.hosts.items():
        for text in (name, addresses.get(name), host.address, host_of(host.url), name.partition(".")[0]):
            if text:
                found.setdefault(text.lower(), name)
    return found


def _engine_name(fleet: Fleet, model: str) -> str:
    source = fleet.models[model].source
    return source.name if isinstance(source, (OllamaSource, ExternalSource)) else model


def _wanted(fleet: Fleet, config: Config, hosts: Mapping[str, str]) -> tuple[Places, tuple[tuple[Path, str, str], ...]]:
    """(inventory host, model) -> where the configuration first sends requests for it; and models that nobody declared."""
    found: Places = {}
    unknown: list[tuple[Path, str, str]] = []
    for item in config.models:
        host = hosts.get(item.host)
        if host is None:
            continue
        path = (*item.path, "litellm_params", "model")
        model = _model(fleet, item)
        if model is None:
            unknown.append((path, item.engine_model, host))
        else:
            found.setdefault((host, model), path)
    return found, tuple(unknown)


def _model(fleet: Fleet, item: Deployment) -> str | None:
    asked = same_model(item.engine_model)
    names = (name for name in fleet.models if asked in (same_model(_engine_name(fleet, name)), same_model(name)))
    return next(names, None)


def _refusals(fleet: Fleet, wanted: Places, find: Find) -> list[tuple[Path, str, str, str]]:
    """What the plan says of a fleet that keeps exactly these models."""
    if not wanted:
        return []
    alias = next(iter(fleet.workloads))
    assigned = [Assigned(model=model, host=host) for host, model in wanted]
    router = fleet.router.model_copy(update={"fallbacks": {}, "smart": {}, "clients": {}})
    asked = fleet.model_copy(update={"assignments": {alias: assigned}, "router": router})
    try:
        make_plan(asked, "audit", find)
    except IntentError as error:
        return [_refusal(problem, wanted) for problem in error.problems]
    return []


def _refusal(problem: Problem, wanted: Places) -> tuple[Path, str, str, str]:
    host = problem.path[1] if problem.path[0] == "hosts" and len(problem.path) > 1 else None
    path = next((place for (name, _model), place in wanted.items() if name == host), next(iter(wanted.values())))
    models = ", ".join(model for name, model in wanted if name == host)
    return path, f"{models or 'models'} on {host or 'the fleet'}: {problem.got}", problem.expected, problem.remedy
