"""The few keys of a header that a person writes down where the header cannot be read when planning."""

from __future__ import annotations

from typing import Any, Mapping

from .metadata_sizes import is_size
from .model_facts import item_count
from .model_shape import MemoryShapeError

SHAPE_KEYS = ("block_count", "embedding_length", "context_length", "feed_forward_length")
ATTENTION_KEYS = ("head_count", "head_count_kv", "key_length", "value_length")


def shape_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a GGUF header that decide the KV cache, without their architecture prefix.

    Returns ``{"architecture": str, "block_count": int, "embedding_length": int, "head_count": int, "head_count_kv": int or
    list, "key_length": int or None, "value_length": int or None, "context_length": int or None, "feed_forward_length": int, list
    or None, "vocabulary_size": int or None}``.
    Raises MemoryShapeError where a needed key is missing or a value is no number or list of numbers.
    """
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise MemoryShapeError("the header has no general.architecture")
    shape: dict[str, Any] = {"architecture": architecture}
    for key in SHAPE_KEYS:
        shape[key] = metadata.get(f"{architecture}.{key}")
    for key in ATTENTION_KEYS:
        shape[key] = metadata.get(f"{architecture}.attention.{key}")
    if shape["head_count_kv"] is None:
        shape["head_count_kv"] = shape["head_count"]
    shape["vocabulary_size"] = metadata.get(f"{architecture}.vocab_size") or item_count(metadata.get("tokenizer.ggml.tokens"))
    odd = [key for key in (*SHAPE_KEYS, *ATTENTION_KEYS) if not is_size(shape[key])]
    if odd:
        raise MemoryShapeError(f"the header of this {architecture} model has {odd[0]} {shape[odd[0]]!r}, expected numbers")
    missing = [key for key in ("block_count", "embedding_length", "head_count") if not shape[key]]
    if missing:
        raise MemoryShapeError(f"the header of this {architecture} model lacks {', '.join(missing)}")
    return shape


def metadata_of(shape: Mapping[str, Any]) -> dict[str, Any]:
    """A declared shape as the metadata of a header; what was not declared is absent."""
    architecture = shape["architecture"]
    keys = {key: f"{architecture}.{key}" for key in SHAPE_KEYS}
    keys.update({key: f"{architecture}.attention.{key}" for key in ATTENTION_KEYS})
    keys["vocabulary_size"] = f"{architecture}.vocab_size"
    said = {written: shape[key] for key, written in keys.items() if shape.get(key) is not None}
    return {"general.architecture": architecture, **said}


def difference_of_shapes(declared: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The keys on which a declared shape disagrees with a header's: ``{key: {"declared": x, "found": y}}``.

    A key that is not declared (None or absent) says nothing and cannot disagree.
    """
    result: dict[str, dict[str, Any]] = {}
    for key, wanted in declared.items():
        actual: Any | None = found.get(key)
        if wanted is not None and wanted != actual:
            result[key] = {"declared": wanted, "found": actual}
    return result
