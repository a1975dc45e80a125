"""What one model takes when it is loaded, as named parts in MiB.

First depth: weights = file size, KV cache = every layer caches the whole context (an upper bound for sliding-window and
hybrid models), plus a stated overhead per process. The parts and their names stay when the prediction becomes exact.
"""

from __future__ import annotations

from typing import Any, Mapping

MIB = 2**20

# Bytes per cached element, from the block layouts of ggml's types (block bytes / block elements).
KV_BYTES_PER_ELEMENT = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
    "iq4_nl": 18 / 32,
}

# What one engine process takes beside weights and KV cache (compute buffers, runtime context). CUDA contexts were
# reported between 107 and 555 MiB (llama.cpp pull requests 20595 and 23604); Ollama counts 512 MiB for Metal
# (ml/device.go, MinimumMemory); a started llama-server on a CPU measured 9-88 MiB plus its compute buffer.
OVERHEAD_MIB = {"gpu": 500.0, "unified": 512.0, "cpu": 128.0}

# Architectures without a KV cache: encoders that see the whole text at once.
ENCODERS = frozenset({"bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "modern-bert", "neo-bert"})

SHAPE_KEYS = ("block_count", "embedding_length", "context_length")
ATTENTION_KEYS = ("head_count", "head_count_kv", "key_length", "value_length")


class MemoryShapeError(ValueError):
    """The metadata lacks what the memory of the model is computed from."""


def shape_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a GGUF header that decide the KV cache, without their architecture prefix.

    Returns ``{"architecture": str, "block_count": int, "embedding_length": int, "head_count": int, "head_count_kv": int or
    list, "key_length": int or None, "value_length": int or None, "context_length": int or None}``.
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
    odd = [key for key in SHAPE_KEYS + ATTENTION_KEYS if not _is_size(shape[key])]
    if odd:
        raise MemoryShapeError(f"the header of this {architecture} model has {odd[0]} {shape[odd[0]]!r}, expected numbers")
    missing = [key for key in ("block_count", "embedding_length", "head_count") if not shape[key]]
    if missing:
        raise MemoryShapeError(f"the header of this {architecture} model lacks {', '.join(missing)}")
    return shape


def _is_size(value: Any) -> bool:
    """A whole number, a list of them, or nothing."""
    numbers = value if isinstance(value, list) else [] if value is None else [value]
    return all(isinstance(number, int) and number >= 0 for number in numbers)


def _heads_by_layer(shape: Mapping[str, Any]) -> list[int]:
    heads: int | list[int] | None = shape.get("head_count_kv") or shape["head_count"]
    if isinstance(heads, list):
        return [int(count) for count in heads]
    return [int(heads or 0)] * int(shape["block_count"])


def _head_length(shape: Mapping[str, Any], key: str) -> int:
    if shape.get(key):
        return int(shape[key])
    head_count = shape["head_count"]
    widest = max(head_count) if isinstance(head_count, list) else head_count
    return int(shape["embedding_length"]) // int(widest)


def kv_cache_mib(shape: Mapping[str, Any], context_tokens: int, parallel: int, kv_type: str) -> float:
    """MiB of the KV cache when every layer keeps the whole context of every parallel sequence.

    ``shape`` as ``shape_of`` returns it; ``kv_type`` a key of KV_BYTES_PER_ELEMENT.
    """
    if shape.get("architecture") in ENCODERS:
        return 0.0
    row = _head_length(shape, "key_length") + _head_length(shape, "value_length")
    elements = sum(_heads_by_layer(shape)) * row * context_tokens * parallel
    return float(elements * KV_BYTES_PER_ELEMENT[kv_type] / MIB)


def model_parts(
    file_bytes: int, shape: Mapping[str, Any], context_tokens: int, parallel: int, kv_type: str, accelerator_kind: str
) -> dict[str, float]:
    """Named parts of one loaded model in MiB: weights_mib, kv_cache_mib, overhead_mib and their total_mib."""
    parts = {
        "weights_mib": file_bytes / MIB,
        "kv_cache_mib": kv_cache_mib(shape, context_tokens, parallel, kv_type),
        "overhead_mib": OVERHEAD_MIB[accelerator_kind],
    }
    return {**parts, "total_mib": sum(parts.values())}


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
