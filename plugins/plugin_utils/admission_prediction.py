"""Ollama's own idea of a model's size, with its mistakes, and the batch it chooses by it (0.30 and later).

Eviction is decided by these numbers, not by what a model really takes: file size plus a cache of every layer, the
smallest number of KV heads, the width of the widest attention and two bytes per element, whatever the model does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .admission_options import Asked
from .admission_rules import GIB, mib_text
from .admission_types import MIB, Accelerator, Candidate, EngineShape, bytes_of

# llm/llama_server.go PredictServerVRAM: f16, whatever OLLAMA_KV_CACHE_TYPE says.
BYTES_PER_CACHED_ELEMENT = 2
# server/sched.go generationBatchForContext, generationBatchSurcharge, generationBatchHasHeadroom:
# batch, context above which it is wanted, what it adds to the prediction, and the share the prediction may take.
LARGE, MEDIUM, SMALL, CONSTRAINED = 2048, 1024, 512, 256
WANTED_ABOVE = ((32768, LARGE), (4096, MEDIUM), (-1, SMALL))
SURCHARGE = ((LARGE, 2 * GIB), (MEDIUM, 768 * MIB), (0, 0))
HEADROOM_PERCENT = ((LARGE, 60), (MEDIUM, 75), (0, 100))
# server/sched.go load: what a prediction may take of free memory.
FREE_PERCENT = 80


@dataclass(frozen=True)
class Seen:
    """A device with the free memory that the engine believes it has at this moment."""

    device: Accelerator
    free_bytes: int


@dataclass(frozen=True)
class Prediction:
    """What the engine thinks a model takes, in bytes. ``basis`` is "engine rule" or the stand-in that was used for it."""

    weights_bytes: int
    kv_bytes: int
    basis: str
    terms: str

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes


def shape_from_header(metadata: Mapping[str, Any]) -> EngineShape:
    """The facts that the engine takes from a GGUF header (keys as in the file, arrays as lists).

    Raises KeyError where general.architecture is missing.
    """
    architecture = str(metadata["general.architecture"])
    return shape_from_facts(architecture, lambda key: metadata.get(f"{architecture}.{key}"))


def shape_from_facts(architecture: str, fact: Callable[[str], Any]) -> EngineShape:
    """The same from a function that answers keys without the architecture's prefix."""

    def number(key: str) -> int | None:
        value = fact(key)
        return value if isinstance(value, int) else None

    def heads(key: str) -> int | tuple[int, ...] | None:
        value = fact(f"attention.{key}")
        return tuple(value) if isinstance(value, list | tuple) else value if isinstance(value, int) else None

    return EngineShape(
        architecture=architecture,
        block_count=number("block_count") or 0,
        embedding_length=number("embedding_length") or 0,
        head_count=heads("head_count"),
        head_count_kv=heads("head_count_kv"),
        key_length=number("attention.key_length"),
        value_length=number("attention.value_length"),
        context_length=number("context_length"),
        vocabulary=number("vocab_size"),
    )


def least_heads(heads: int | tuple[int, ...] | None) -> int:
    """The engine's HeadCountKVMin with its floor of one."""
    least = 1 if heads is None else min(heads, default=1) if isinstance(heads, tuple) else heads
    return least or 1


def most_heads(heads: int | tuple[int, ...] | None) -> int:
    """The engine's HeadCountMax: 1 where the key is missing."""
    return 1 if heads is None else max(heads, default=1) if isinstance(heads, tuple) else heads


def server_prediction(candidate: Candidate, context_tokens: int) -> Prediction:
    """PredictServerVRAM for a context of all sequences together.

    Without the header's facts, or without the file's size, the declared real size stands in and ``basis`` says so.
    """
    shape = candidate.shape
    if shape is None or candidate.file_bytes is None:
        return _stand_in(candidate)
    kv_heads = least_heads(shape.head_count_kv)
    heads = most_heads(shape.head_count)
    width = shape.embedding_length // heads if heads else 0
    elements = 2 * shape.block_count * kv_heads * width * context_tokens
    cache = elements * BYTES_PER_CACHED_ELEMENT
    counted = f"2 x {shape.block_count} layers x {kv_heads} KV heads x {width} wide x {context_tokens:,} tokens x 2 bytes"
    terms = f"{mib_text(candidate.file_bytes)} file + {mib_text(cache)} cache ({counted})"
    return Prediction(candidate.file_bytes, cache, "engine rule", terms)


def _stand_in(candidate: Candidate) -> Prediction:
    if candidate.real is not None:
        size = bytes_of(candidate.real.device_mib)
        return Prediction(size, 0, "declared size", f"{mib_text(size)} declared, in place of file size and cache")
    size = candidate.file_bytes or 0
    basis = "file size" if candidate.file_bytes else "unknown"
    return Prediction(size, 0, basis, f"{mib_text(size)} file, its cache is not known")


def surcharge_bytes(candidate: Candidate, batch_tokens: int) -> int:
    """What a batch adds to the prediction in the check before a load; nothing for embedding models."""
    return 0 if candidate.is_embedding else _surcharge(batch_tokens)


def _surcharge(batch_tokens: int) -> int:
    return next(size for least, size in SURCHARGE if batch_tokens >= least)


def with_automatic_batch(
    candidate: Candidate, wish: Asked, predicted: int, available: int, flash: bool, devices: Sequence[Seen]
) -> Asked:
    """The request with the batch that the engine chooses where nobody gave one (applyAutomaticGenerationBatch)."""
    if candidate.is_embedding or not wish.batch_auto:
        return wish
    return replace(wish, num_batch=automatic_batch(all_tokens(wish), predicted, available, flash, devices))


def automatic_batch(context: int, predicted: int, available: int, flash: bool, devices: Sequence[Seen]) -> int:
    """The largest batch that the context wants and the memory allows; ``available`` 0 allows any."""
    if not flash and any(seen.device.library == "cuda" for seen in devices):
        return CONSTRAINED if context > 4096 and any(_is_small_cuda(seen) for seen in devices) else SMALL
    batch = next(size for above, size in WANTED_ABOVE if context > above)
    while batch > SMALL and not _batch_fits(batch, predicted, available):
        batch //= 2
    return batch


def _is_small_cuda(seen: Seen) -> bool:
    memory = seen.free_bytes or seen.device.total_bytes
    return seen.device.library == "cuda" and 0 < memory <= 8 * GIB


def _batch_fits(batch: int, predicted: int, available: int) -> bool:
    if predicted == 0 or available == 0:
        return True
    limit = available * FREE_PERCENT // 100
    percent = next(share for least, share in HEADROOM_PERCENT if batch >= least)
    return predicted <= available * percent // 100 and predicted + _surcharge(batch) <= limit


def all_tokens(wish: Asked) -> int:
    """Tokens of all sequences together, for which the engine predicts."""
    return wish.context_tokens * max(wish.parallel, 1)
