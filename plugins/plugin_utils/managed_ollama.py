"""What an Ollama that this collection configures is told: every setting that decides memory, none is left to a default."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ..module_utils.engine_variables import SERVER
from ..module_utils.memory_settings import OLLAMA_VERSION
from ..module_utils.ollama_names import DEFAULT_HOST, DEFAULT_NAMESPACE, parse_model_name, same_model
from ..module_utils.packing import PredictedDemand
from .admission_intent import engine_host
from .admission_rules import flash_attention, rules_for
from .admission_types import ServerSettings
from .fit import Wanted, budgets
from .fleet import EngineServer, Fleet, Host, Model, OllamaSource
from .references import resident_models

# Models that are made here have names that no registry of Ollama gives.
DERIVED_NAMESPACE = "homelab"
# How a derived model's name tells the parameters that it was made with.
SUFFIXES = {"num_ctx": "ctx", "num_batch": "batch", "main_gpu": "gpu", "num_gpu": "layers"}
LONGEST_PART = 80
HTTP_PORT = 80
# Where Ollama listens unless it is told otherwise (envconfig of v0.33.0).
BEHIND_PROXY = ("127.0.0.1", 11434)


def is_configured(host: Host) -> bool:
    """Whether this collection writes the environment of the host's Ollama."""
    return host.engine == "ollama" and host.managed


def with_written_settings(fleet: Fleet) -> Fleet:
    """The fleet with every setting of the Ollamas that are configured here filled in; what was said stays."""
    hosts = {name: _written(fleet, name) if is_configured(host) else host for name, host in fleet.hosts.items()}
    return fleet.model_copy(update={"hosts": hosts})


def _written(fleet: Fleet, name: str) -> Host:
    host = fleet.hosts[name]
    models = [fleet.models[model] for model in resident_models(fleet, name)]
    said = (host.server or EngineServer()).model_dump(exclude_none=True)
    chosen: dict[str, Any] = {"keep_alive": -1, "max_loaded_models": len(models) or 1}
    contexts = [model.context_tokens for model in models]
    if contexts:
        # Embedding models take short texts: their contexts are no measure for a stranger that is asked for.
        chosen["context_length"] = common_context([m.context_tokens for m in models if m.mode == "chat"] or contexts)
    kept: dict[str, Any] = {"server": EngineServer(**{**chosen, **said})}
    if "flash_attention" not in host.model_fields_set:
        kept["flash_attention"] = "on" if _has_flash_attention(fleet, host) else "off"
    if host.cache_ram_mib is None:
        kept["cache_ram_mib"] = 0
    return host.model_copy(update=kept)


def common_context(contexts: Sequence[int]) -> int:
    """The context that the fewest models have to differ from; of several such the smallest, which is what strangers get."""
    counted = Counter(contexts)
    return min(counted, key=lambda context: (-counted[context], context))


def _has_flash_attention(fleet: Fleet, host: Host) -> bool:
    rules, _remark = rules_for(host.engine_version or OLLAMA_VERSION)
    devices = engine_host(host, budgets(host, fleet.policy)).devices
    return rules is not None and flash_attention(rules, ServerSettings(), devices)


def changeable(host: Host) -> frozenset[str]:
    """Variables of the engine that the plan may set as it needs: those of a configured engine that nobody has set."""
    if not is_configured(host):
        return frozenset()
    said = (host.server or EngineServer()).model_dump(exclude_none=True)
    return frozenset(variable for name, variable in SERVER.items() if name not in said)


def listens_on(host: Host) -> tuple[str | None, int | None]:
    """Address and port that a configured Ollama listens on: those of its url, unless another address was said.

    It speaks plain HTTP: where the url says TLS or a path, a proxy stands before it on the same machine.
    """
    if not is_configured(host):
        return None, None
    parts = urlsplit(str(host.url))
    if parts.scheme != "http" or parts.path.strip("/"):
        return host.listen_address or BEHIND_PROXY[0], BEHIND_PROXY[1]
    return host.listen_address or parts.hostname, parts.port or HTTP_PORT


def derived(model: Model, host: Host, size: Wanted | None, settings: Mapping[str, str]) -> dict[str, Any] | None:
    """What a model of its own is made with where the server's settings do not give the planned ones; None where they do.

    ``settings``: the environment of the server. Returns ``from`` (the model of a registry, None for a file) and ``parameters``.
    """
    if not is_configured(host):
        return None
    files = size.demand.model if size and isinstance(size.demand, PredictedDemand) else None
    own = dict(files.own_options) if files else {}
    trained = files.shape.fact("context_length") if files else None
    given = int(own.get("num_ctx") or settings.get("OLLAMA_CONTEXT_LENGTH") or 0)
    parameters: dict[str, int] = {}
    if _clamped(given, trained) != _clamped(model.context_tokens, trained):
        parameters["num_ctx"] = model.context_tokens
    wished = {"num_batch": model.batch_tokens, "main_gpu": model.main_gpu}
    parameters.update({key: value for key, value in wished.items() if value is not None and own.get(key) != value})
    if isinstance(model.source, OllamaSource):
        return {"from": model.source.name, "parameters": parameters} if parameters else None
    return {"from": None, "parameters": {"num_ctx": model.context_tokens, **parameters}}


def _clamped(context_tokens: int, trained: Any) -> int:
    """The engine gives no model more context than it was trained for."""
    return min(context_tokens, int(trained)) if trained else context_tokens


def derived_name(name: str, model: Model, parameters: Mapping[str, int]) -> str:
    """The name of a derived model, which tells its source and its parameters: ``homelab/gemma4:26b-ctx32768``."""
    told = "-".join(f"{SUFFIXES[key]}{value}" for key, value in parameters.items())
    if not isinstance(model.source, OllamaSource):
        return f"{DERIVED_NAMESPACE}/{_part(name)}:{told}"
    source = parse_model_name(model.source.name)
    places = [
        source.host if source.host != DEFAULT_HOST else "",
        source.namespace if source.namespace != DEFAULT_NAMESPACE else "",
    ]
    base = "-".join([*(_part(place) for place in places if place), source.model])
    return f"{DERIVED_NAMESPACE}/{base[:LONGEST_PART]}:{_part(f'{source.tag}-{told}')}"


def _part(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:LONGEST_PART]


def fetching_hosts(fleet: Fleet) -> dict[str, str]:
    """Model of a registry -> the host that fetches it for all configured Ollamas that need it: the first in the inventory.

    The models' names are complete and in lower case, so that every spelling finds its model.
    """
    found: dict[str, str] = {}
    for name, host in fleet.hosts.items():
        for model in resident_models(fleet, name) if is_configured(host) else ():
            source = fleet.models[model].source
            if isinstance(source, OllamaSource):
                found.setdefault(same_model(source.name), name)
    return found
