"""Where a model's header is to be had: a GGUF file, an Ollama's store on this machine, a registry, or metadata that are given."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from .gguf import GgufError, read_header
from .gguf_header import Header
from .gguf_remote import Remote, read_remote_header
from .memory import ModelFiles
from .model_header import ModelHeader
from .model_shape import describe
from .ollama_manifest import Manifest
from .ollama_store import read_ollama_blob

# Where Ollama keeps models: the service of its Linux script, then the user's own (docs/faq of Ollama v0.33.0).
STORES = ("/usr/share/ollama/.ollama/models", "~/.ollama/models")


@dataclass(frozen=True)
class Found:
    """A model whose header was read, and where. ``parameters``: the model's own settings, as its manifest has them."""

    files: ModelFiles
    source: str
    parameters: Mapping[str, Any]


def stores_here(environment: Mapping[str, str]) -> list[str]:
    """Folders in which an Ollama of this machine may keep its models."""
    said = environment.get("OLLAMA_MODELS")
    return [said] if said else [os.path.expanduser(folder) for folder in STORES]


def find_model(name: str, stores: Sequence[str], remote: Remote | None) -> Found:
    """The model of this name: a path of a GGUF file, else a name in one of Ollama's stores, else in a registry.

    ``remote`` None: no registry is asked. Raises GgufError, whose message says what was tried.
    """
    if name.startswith(("/", "./", "../", "~")) or (name.endswith(".gguf") and "://" not in name):
        path = os.path.expanduser(name)
        return Found(files_of(read_header(path)), path, {})
    tried = []
    for store in () if "://" in name else stores:
        if not os.path.isdir(store):
            continue
        try:
            return _in_store(name, store)
        except GgufError as error:
            tried.append(str(error))
    if remote is None:
        raise GgufError("; ".join(tried) or f"{name}: no Ollama keeps models here; give a path, or allow a registry to be asked")
    return _in_registry(name, remote)


def _in_store(name: str, store: str) -> Found:
    header = read_ollama_blob(store, name)
    projector = read_ollama_blob(store, name, "projector") if _has(header.manifest, "projector") else None
    return Found(files_of(header, projector), store, _parameters(header))


def _in_registry(name: str, remote: Remote) -> Found:
    header = read_remote_header(name, remote)
    projector = read_remote_header(name, remote, "projector") if _has(header.manifest, "projector") else None
    return Found(files_of(header, projector), header.name, _parameters(header))


def _has(manifest: Manifest | None, kind: str) -> bool:
    return manifest is not None and bool(manifest.of_kind(kind))


def _parameters(header: ModelHeader) -> Mapping[str, Any]:
    return header.manifest.parameters if header.manifest else {}


def files_of(header: Header, projector: Header | None = None) -> ModelFiles:
    """What decides a model's memory, from its header and that of its projector."""
    shape = describe(header.metadata, header.tensors)
    manifest = header.manifest if isinstance(header, ModelHeader) else None
    adapters = sum(layer.size_bytes for layer in manifest.of_kind("adapter")) if manifest else 0
    projector_bytes = (projector.tensors_bytes or projector.file_bytes or 0) if projector else 0
    return ModelFiles(shape, header.file_bytes, projector_bytes, adapters)


def files_of_metadata(
    metadata: Mapping[str, Any], tensors: Sequence[Sequence[Any]] | Mapping[str, Any] | None, file_bytes: int | None
) -> ModelFiles:
    """The same from metadata that are given, with the tensors as ``[name, shape, type id]``, totals by role, or neither.

    Raises MemoryShapeError where the metadata do not describe a model.
    """
    if tensors is None or isinstance(tensors, Mapping):
        return ModelFiles(describe(metadata, tensors), file_bytes)
    return ModelFiles(describe(metadata, [(str(name), list(shape), int(kind)) for name, shape, kind in tensors]), file_bytes)
