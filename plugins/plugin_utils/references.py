"""Do the parts of the intent agree with each other? Names that must exist, hosts that must differ, modes that must match."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from ..module_utils.ollama_names import same_model
from .fleet import FileSource, Fleet, Model, OllamaSource
from .problems import Path, Problem, suggestion
from .references_router import router_problems

SOURCES_BY_ENGINE = {
    "ollama": ("ollama", "file", "url", "wheel"),
    # llama.cpp reads an Ollama model's file out of the store of an Ollama on the same host.
    "llama_cpp": ("file", "ollama", "url", "wheel"),
    "external": ("external",),
}


def reference_problems(fleet: Fleet) -> list[Problem]:
    """Every disagreement in the fleet; empty where all is well."""
    problems = [*_workloads(fleet), *_assignments(fleet)] or router_problems(fleet)
    return problems or [*_sources(fleet), *_contexts(fleet), *_one_blob_twice(fleet), *_urls(fleet), *_ports(fleet)]


def resident_models(fleet: Fleet, host: str) -> list[str]:
    """The models assigned to a host, each once, in the order of ``llm_models``."""
    assigned = {item.model for items in fleet.assignments.values() for item in items if item.host == host}
    return [name for name in fleet.models if name in assigned]


def _workloads(fleet: Fleet) -> Iterator[Problem]:
    for alias, workload in fleet.workloads.items():
        ids = Counter(prompt.id for prompt in workload.prompts)
        for repeated in (name for name, count in ids.items() if count > 1):
            path: Path = ("llm_workloads", alias, "prompts")
            yield Problem(path, f"the id {repeated} more than once", "ids that differ", "Rename one of the prompts.")
        for index, model in enumerate(workload.candidates or ()):
            path = ("llm_workloads", alias, "candidates", index)
            if model not in fleet.models:
                yield Problem(path, f"the model {model}", "a model of llm_models", suggestion(model, fleet.models))


def _assignments(fleet: Fleet) -> Iterator[Problem]:
    for alias, deployments in fleet.assignments.items():
        path: Path = ("llm_assignments", alias)
        if alias not in fleet.workloads:
            yield Problem(path, f"the alias {alias}", "a workload of llm_workloads", suggestion(alias, fleet.workloads))
            continue
        if alias in fleet.models:
            yield Problem(path, "the name of a model", "a name of its own", "Rename the alias: clients ask for functions.")
        seen: set[str] = set()
        for index, item in enumerate(deployments):
            yield from _deployment(fleet, alias, item.model, item.host, (*path, index))
            if item.host in seen:
                remedy = "Deployments of an alias stand on different hosts, so that one may fail."
                yield Problem((*path, index, "host"), f"{item.host} a second time", "another host", remedy)
            seen.add(item.host)


def _deployment(fleet: Fleet, alias: str, model: str, host: str, path: Path) -> Iterator[Problem]:
    if host not in fleet.hosts:
        yield Problem((*path, "host"), f"the host {host}", "a host of the group engines", suggestion(host, fleet.hosts))
    if model not in fleet.models:
        yield Problem((*path, "model"), f"the model {model}", "a model of llm_models", suggestion(model, fleet.models))
        return
    workload = fleet.workloads[alias]
    mode = fleet.models[model].mode
    if mode != workload.mode:
        remedy = "A chat model cannot answer for an embedding one, nor the other way round."
        yield Problem((*path, "model"), f"{model}, which is a model for {mode}", f"one for {workload.mode}", remedy)
    if workload.candidates is not None and model not in workload.candidates:
        remedy = f"Add it to llm_workloads.{alias}.candidates or assign one of: {', '.join(workload.candidates)}."
        yield Problem((*path, "model"), f"{model}, which is no candidate", "one of the candidates", remedy)


def _sources(fleet: Fleet) -> Iterator[Problem]:
    for host, model in _residents(fleet):
        engine = fleet.hosts[host].engine
        kind = fleet.models[model].source.kind
        # Into an Ollama that is never logged into no file can be put.
        foreign = engine == "ollama" and not fleet.hosts[host].managed
        known = ("ollama",) if foreign else SOURCES_BY_ENGINE[engine]
        if kind not in known:
            allowed = " or ".join(known)
            remedy = f"{host} runs {engine}: give it a model with such a source, or assign {model} to another host."
            yield Problem(("llm_models", model, "source", "kind"), kind, f"{allowed} on {host}", remedy)


def _contexts(fleet: Fleet) -> Iterator[Problem]:
    for name, model in fleet.models.items():
        shape = model.declared.shape if model.declared else None
        trained = shape.context_length if shape else None
        if trained is not None and model.context_tokens > trained:
            remedy = "The engine would shorten it silently, or answer nonsense beyond it."
            path: Path = ("llm_models", name, "context_tokens")
            yield Problem(path, str(model.context_tokens), f"at most {trained}, which it was trained for", remedy)


def _one_blob_twice(fleet: Fleet) -> Iterator[Problem]:
    """Ollama keeps one runner per blob: two names with different settings reload it on every change of client."""
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for host, model in _residents(fleet):
        if fleet.hosts[host].engine == "ollama":
            names[host, _file_of(fleet.models[model])].append(model)
    for (host, _file), models in names.items():
        for other in models[1:]:
            yield _repeated(fleet, host, models[0], other)


def _file_of(model: Model) -> str:
    """The file of a model, however its name is spelt."""
    source = model.source
    if isinstance(source, OllamaSource):
        return same_model(source.name)
    return source.path if isinstance(source, FileSource) else str(getattr(source, "file_sha256", source))


def _repeated(fleet: Fleet, host: str, first: str, other: str) -> Problem:
    one, two = fleet.models[first], fleet.models[other]
    elsewhere = f"put one on another host than {host}"
    got = f"{shown_source(fleet, other)} on {host}, which is {first}'s file"
    if _settings(one) != _settings(two):
        got, remedy = f"{got}, with other settings", f"Assign {first} to the aliases of both, or {elsewhere}."
    elif one.mode != two.mode:
        remedy = f"Ollama has it in memory once: {elsewhere}."
    else:
        remedy = f"It is one model under two names: assign {first} to the aliases of both."
    return Problem(("llm_models", other), got, "each model file once per host", remedy)


def shown_source(fleet: Fleet, model: str) -> str:
    """A model's source in a few words."""
    source = fleet.models[model].source
    return next(str(getattr(source, key)) for key in ("name", "path", "url", "requirement") if hasattr(source, key))


def _settings(model: Model) -> tuple[int | str | None, ...]:
    return model.context_tokens, model.parallel, model.kv_type, model.batch_tokens, model.main_gpu


def _ports(fleet: Fleet) -> Iterator[Problem]:
    taken: dict[tuple[str | None, int], str] = {}
    for host, settings in fleet.hosts.items():
        for offset, model in enumerate(resident_models(fleet, host) if settings.base_port else ()):
            port = (settings.base_port or 0) + offset
            key = (settings.address, port)
            path: Path = ("hosts", host, "llm_host", "base_port")
            if port > 65535:
                yield Problem(path, f"port {port} for {model}", "ports up to 65535", "Choose a lower base_port.")
            if key in taken:
                remedy = "Leave as many ports between the base ports as models can be resident."
                yield Problem(path, f"port {port} for {model}, which is {taken[key]}'s", "a port of its own", remedy)
            taken[key] = f"{model} on {host}"
    for (address, port), owner in taken.items():
        same_address = address == fleet.router.listen_address or owner.endswith(f" on {fleet.router_host}")
        if port == fleet.router.port and same_address:
            got = f"port {port}, which is {owner}'s"
            yield Problem(("llm_router", "port"), got, "a port of its own", "Choose another port for the router.")


def _urls(fleet: Fleet) -> Iterator[Problem]:
    """An engine that stands in the inventory twice has its memory promised twice."""
    owners: dict[str, str] = {}
    for host, settings in fleet.hosts.items():
        url = (settings.url or "").rstrip("/")
        if url and url in owners:
            path: Path = ("hosts", host, "llm_host", "url")
            got = f"{url}, which is {owners[url]}'s"
            yield Problem(path, got, "an engine of its own", "Correct the url, or remove one of the hosts.")
        owners.setdefault(url, host)


def _residents(fleet: Fleet) -> Iterator[tuple[str, str]]:
    for host in fleet.hosts:
        for model in resident_models(fleet, host):
            yield host, model
