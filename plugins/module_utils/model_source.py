"""Where a model's header is to be had: a GGUF file, an Ollama's store on this machine, a registry, or metadata that are given."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from .declared_shape import ATTENTION_KEYS, SHAPE_KEYS, metadata_of
from .fit_values import shown
from .gguf import GgufError, read_header
from .gguf_header import Header
from .gguf_remote import Remote, read_remote_header
from .gguf_types import TENSOR_TYPES
from .memory import ModelFiles
from .metadata_sizes import LARGEST_SIZE
from .model_header import ModelHeader
from .model_shape import MemoryShapeError, describe
from .ollama_manifest import Manifest
from .ollama_store import read_ollama_blob

# Runner options of api/types.go, Ollama v0.33.0, that change what a load takes.
MEMORY_OPTIONS = ("num_ctx", "num_batch", "num_gpu", "main_gpu")
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
    try:
        return _in_registry(name, remote)
    except GgufError as error:
        raise GgufError("; ".join(dict.fromkeys([*tried, str(error)]))) from error


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
    return ModelFiles(shape, header.file_bytes, projector_bytes, adapters, _own_options(manifest))


def _own_options(manifest: Manifest | None) -> tuple[tuple[str, int], ...]:
    """The parameters of a model that decide its memory; what is no whole number the engine does not take either."""
    said = manifest.parameters if manifest else {}
    found = {key: said.get(key) for key in MEMORY_OPTIONS}
    return tuple((key, value) for key, value in found.items() if isinstance(value, int) and not isinstance(value, bool))


def files_of_metadata(metadata: Mapping[str, Any], tensors: Any, file_bytes: int | None) -> ModelFiles:
    """The same from metadata that are given: keys as in a header, or a declared shape (see ``declared_shape``).

    ``tensors``: each ``[name, shape, type]``, the type by number or name; or totals by role; or None.
    Raises MemoryShapeError where these do not describe a model.
    """
    if not isinstance(metadata, Mapping):
        raise MemoryShapeError(f"got metadata {shown(metadata)}, expected keys and values as in a GGUF header")
    if "architecture" in metadata and "general.architecture" not in metadata:
        metadata = _declared(metadata)
    if isinstance(tensors, Mapping):
        if not isinstance(tensors.get("total_bytes"), int):
            raise MemoryShapeError("got tensors without total_bytes, expected totals by role, or a list of [name, shape, type]")
        return ModelFiles(describe(metadata, tensors), file_bytes)
    if not tensors:
        return ModelFiles(describe(metadata), file_bytes)
    return ModelFiles(describe(metadata, [_tensor(index, item) for index, item in enumerate(tensors)]), file_bytes)


def _declared(shape: Mapping[str, Any]) -> dict[str, Any]:
    known = ("architecture", *SHAPE_KEYS, *ATTENTION_KEYS, "vocabulary_size")
    odd = sorted(set(map(str, shape)) - set(known))
    if odd:
        raise MemoryShapeError(
            f"got {odd[0]} in a declared shape, expected some of {', '.join(known)}, or all keys as in a GGUF header"
        )
    return metadata_of(shape)


TYPES_BY_NAME = {kind.name.lower(): number for number, kind in TENSOR_TYPES.items()}
# GGML_MAX_DIMS of ggml/include/ggml.h, llama.cpp b10488.
MAX_DIMENSIONS = 4


def _tensor(index: int, item: Any) -> tuple[str, list[int], int]:
    expected = "expected [name, shape, type] such as [output.weight, [4096, 32000], q6_K]"
    if not isinstance(item, (list, tuple)) or len(item) != 3:
        raise MemoryShapeError(f"got tensors[{index}] {shown(item)}, {expected}")
    name, shape, kind = item
    number: Any = TYPES_BY_NAME.get(str(kind).lower(), kind)
    numbers = [*shape, number] if isinstance(shape, (list, tuple)) and 1 <= len(shape) <= MAX_DIMENSIONS else [None]
    odd = any(isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_SIZE for value in numbers)
    if odd or not isinstance(name, str) or not name:
        raise MemoryShapeError(f"got tensors[{index}] {shown(item)}, {expected}")
    return name, list(shape), number
