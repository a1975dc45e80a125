"""The plan: who serves what, why it fits, in which order clients are sent there. Pure: the same intent gives the same plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ..module_utils.ollama_names import same_model
from ..module_utils.packing import Budget, HostFit, Placed
from .fit import Find, Wanted, budget_problems, budgets, cache_ram_mib, fit_parts, on_disk, overcommitment, place, size_of
from .fleet import ExternalSource, Fleet, Host, OllamaSource
from .managed_ollama import changeable, derived, derived_name, fetching_hosts, is_configured, listens_on, with_written_settings
from .plan_admission import Admitted, admission, not_asked
from .plan_devices import devices, full_offload
from .problems import IntentError, Problem
from .references import resident_models
from .routing_plan import Routing, alias_part, router_part

SCHEMA_VERSION = 1


def make_plan(fleet: Fleet, inventory: str, find: Find = on_disk) -> dict[str, Any]:
    """The plan document as plain data, with schema version, inventory name and content hash.

    ``find`` reads the headers of models whose size is not declared. Raises IntentError naming every host whose resident set
    does not fit and every model of unknown size.
    """
    problems: list[Problem] = []
    intended, fleet = fleet, with_written_settings(fleet)
    free = {name: changeable(host) for name, host in intended.hosts.items()}
    hosts = {name: _host(fleet, name, find, free[name], problems) for name in fleet.hosts}
    if problems:
        raise IntentError(problems)
    routing = Routing(fleet)
    body = {
        "schema_version": SCHEMA_VERSION,
        "inventory": inventory,
        "hosts": hosts,
        "aliases": {alias: alias_part(fleet, alias, routing, hosts) for alias in fleet.assignments},
        "workloads": _workloads(fleet),
        "benchmark": {"runs": fleet.policy.runs, "timeout_s": fleet.policy.timeout_s},
        "router": router_part(fleet, routing),
    }
    return {**body, "content_hash": content_hash(body)}


def content_hash(body: Mapping[str, Any]) -> str:
    """``sha256:…`` over everything but the hash itself, so that a changed or foreign plan is noticed."""
    kept = {key: value for key, value in body.items() if key != "content_hash"}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def check_plan(document: Any, inventory: str) -> dict[str, Any]:
    """A plan that was read from a file, if it is one of this schema and inventory and nobody changed it.

    Raises ValueError with got, expected and what to do.
    """
    again = "Run playbooks/plan.yml again."
    if not isinstance(document, dict) or "schema_version" not in document:
        raise ValueError(f"got a file that is no plan, expected a mapping with schema_version. {again}")
    for key, wanted in (("schema_version", SCHEMA_VERSION), ("inventory", inventory)):
        if document.get(key) != wanted:
            raise ValueError(f"got a plan with {key} {document.get(key)!r}, expected {wanted!r}. {again}")
    if document.get("content_hash") != content_hash(document):
        raise ValueError(f"got a plan whose content does not match its content_hash: it was edited. {again}")
    return document


def _host(fleet: Fleet, name: str, find: Find, free: frozenset[str], problems: list[Problem]) -> dict[str, Any]:
    host = fleet.hosts[name]
    pools = budgets(host, fleet.policy)
    empty = budget_problems(name, pools)
    problems += empty
    sizes = _sizes(fleet, name, find, problems) if pools else {}
    fit = place(sizes, pools, host) if not empty else None
    refusal = overcommitment(name, fit, pools) if fit else None
    admitted = _admitted(fleet, name, sizes, fit, pools, free)
    problems += [problem for problem in (refusal, admitted.problem) if problem]
    needed = sum(item.load.total_mib for item in fit.placed) if fit else None
    budget = _graphic_budget(pools) if pools else None
    listen_address, port = listens_on(host)
    return {
        "engine": host.engine,
        "managed": host.managed,
        "machine": host.machine or name,
        "url": host.url.rstrip("/") if host.url else None,
        "listen_address": listen_address,
        "port": port,
        "budget_mib": _rounded(budget),
        "accelerators": [_accelerator(pool) for pool in pools],
        "resident": _residents(fleet, name, sizes, fit, admitted),
        "total_mib": _rounded(needed),
        "free_mib": None if needed is None or budget is None else _rounded(budget - needed),
        "host_memory": _host_memory(fit),
        "cache_ram_mib": cache_ram_mib(host),
        "admission": admitted.document,
    }


def _graphic_budget(pools: list[Budget]) -> float:
    """The memory beside GPUs is no place for models."""
    return sum(pool.budget_mib for pool in [pool for pool in pools if pool.kind != "cpu"] or pools)


def _host_memory(fit: HostFit | None) -> dict[str, float | None]:
    needed, budget = (fit.ram_needed_mib, fit.ram_budget_mib) if fit else (None, None)
    return {"needed_mib": _rounded(needed), "budget_mib": _rounded(budget)}


def _sizes(fleet: Fleet, host: str, find: Find, problems: list[Problem]) -> dict[str, Wanted]:
    sizes: dict[str, Wanted] = {}
    for name in resident_models(fleet, host):
        size = size_of(name, fleet.models[name], fleet.hosts[host], find)
        if isinstance(size, Problem):
            problems.append(size)
        else:
            sizes[name] = size
    return sizes


def _residents(
    fleet: Fleet, host: str, sizes: Mapping[str, Wanted], fit: HostFit | None, admitted: Admitted
) -> list[dict[str, Any]]:
    placed = {item.model: item for item in fit.placed} if fit else {}
    return [
        _resident(fleet, host, index, name, placed.get(name), sizes.get(name), admitted)
        for index, name in enumerate(resident_models(fleet, host))
    ]


def _resident(
    fleet: Fleet, host_name: str, index: int, name: str, placed: Placed | None, size: Wanted | None, admitted: Admitted
) -> dict[str, Any]:
    host, model = fleet.hosts[host_name], fleet.models[name]
    own_process = host.engine == "llama_cpp"
    made = derived(model, host, size, admitted.document["settings"])
    return {
        "model": name,
        "engine_model": derived_name(name, model, made["parameters"]) if made else _engine_model(fleet, host_name, name),
        "mode": model.mode,
        "url": _url(host, index),
        "listen_address": host.address if own_process else None,
        "port": _port(host, index),
        "source": model.source.model_dump(exclude={"digest"}),
        "digest": getattr(model.source, "digest", None),
        "derived": made,
        "copy_from": _copied_from(fleet, host_name, name),
        "declared_shape": model.declared.shape.model_dump() if model.declared and model.declared.shape else None,
        "declared_file_bytes": model.declared.file_bytes if model.declared else None,
        "context_tokens": model.context_tokens,
        "parallel": model.parallel,
        "kv_type": model.kv_type,
        "batch_tokens": model.batch_tokens,
        "main_gpu": model.main_gpu,
        "load_order": admitted.order.index(name) + 1,
        "fit": _rounded_parts(fit_parts(placed, size)),
        "accelerator": _accelerator_of(placed),
        "full_offload": full_offload(host, placed),
        "devices": devices(host, placed),
        "reason": f"serves {_served(fleet, host_name, name)}",
    }


def _copied_from(fleet: Fleet, host: str, model: str) -> str | None:
    """The other host that fetches this model from its registry, so that it crosses the internet once."""
    source = fleet.models[model].source
    if not isinstance(source, OllamaSource) or not is_configured(fleet.hosts[host]):
        return None
    first = fetching_hosts(fleet)[same_model(source.name)]
    return first if first != host else None


def _served(fleet: Fleet, host: str, model: str) -> str:
    return ", ".join(
        f"{alias} (order {order})"
        for alias, deployments in fleet.assignments.items()
        for order, item in enumerate(deployments, 1)
        if (item.host, item.model) == (host, model)
    )


def _workloads(fleet: Fleet) -> dict[str, Any]:
    defaults = {"max_tokens": fleet.policy.max_tokens, "temperature": fleet.policy.temperature}
    result: dict[str, Any] = {}
    for alias, workload in fleet.workloads.items():
        said = workload.model_dump(exclude={"timeout_s", "stream_timeout_s", "candidates"})
        result[alias] = {key: defaults.get(key) if value is None else value for key, value in said.items()}
    return result


def _engine_model(fleet: Fleet, host: str, name: str) -> str:
    source = fleet.models[name].source
    # llama.cpp serves whatever file it has under the name that it is given.
    if fleet.hosts[host].engine == "llama_cpp" or not isinstance(source, OllamaSource | ExternalSource):
        return name
    return source.name


def _port(host: Host, index: int) -> int | None:
    return host.base_port + index if host.engine == "llama_cpp" and host.base_port is not None else None


def _url(host: Host, index: int) -> str:
    if host.engine == "llama_cpp":
        address = f"[{host.address}]" if ":" in str(host.address) else host.address
        return f"http://{address}:{_port(host, index)}"
    return str(host.url).rstrip("/")


def _admitted(
    fleet: Fleet, name: str, sizes: Mapping[str, Wanted], fit: HostFit | None, pools: list[Budget], free: frozenset[str]
) -> Admitted:
    """Will the engine keep the set in memory? Asked of sets that fit; the largest is loaded first."""
    host = fleet.hosts[name]
    order = _largest_first(fleet, name, fit)
    if host.engine == "ollama" and (fit is None or not fit.fits or set(sizes) != set(order)):
        reason = "not asked: the set does not fit or a size is not known"
        return Admitted(not_asked(reason, order), tuple(order))
    models = {model: (fleet.models[model], _engine_model(fleet, name, model)) for model in order}
    return admission(name, host, models, sizes, pools, free)


def _largest_first(fleet: Fleet, host: str, fit: HostFit | None) -> list[str]:
    totals = {item.model: item.load.total_mib for item in fit.placed} if fit else {}
    return sorted(resident_models(fleet, host), key=lambda name: (-totals.get(name, 0.0), name))


def _accelerator(pool: Budget) -> dict[str, Any]:
    sizes = {key: _rounded(getattr(pool, key)) for key in ("memory_mib", "reserved_mib", "headroom_mib", "budget_mib")}
    return {"name": pool.name, "kind": pool.kind, **sizes, "bandwidth_gb_s": pool.bandwidth_gb_s, "backend": pool.library}


def _accelerator_of(placed: Placed | None) -> str | None:
    if placed is None:
        return None
    return placed.accelerators[0] if len(placed.accelerators) == 1 else "split"


def _rounded_parts(parts: Mapping[str, Any]) -> dict[str, Any]:
    rounded = {key: _rounded(value) if key.endswith("_mib") else value for key, value in parts.items()}
    return {**rounded, "pools": [_rounded_parts(pool) for pool in parts["pools"]]} if "pools" in parts else rounded


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
