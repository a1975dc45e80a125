"""What decides a model's memory beside its shape: the settings of the engine and the pools that it is loaded into."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .model_shape import ModelShape
from .tensor_types import BLOCKS, KV_CACHE_TYPES, is_quantised

LLAMA_CPP = "llama_cpp"
OLLAMA = "ollama"
# What the formulas were read from and compared with; Ollama v0.33.0 pins the same build (LLAMA_CPP_VERSION in its tree).
LLAMA_CPP_VERSION = "b10488"
OLLAMA_VERSION = "0.33.0"

# common/common.h of llama.cpp b10488: what llama-server takes where nothing is said.
BATCH_TOKENS = 2048
UBATCH_TOKENS = 512
CACHE_RAM_MIB = 8192

# Ollama v0.33.0, server/sched.go, automatic batch: above so many tokens of all contexts together, so large a batch.
# It steps down where there is little memory left; the wanted size is the upper bound.
OLLAMA_BATCHES = ((32768, 2048), (4096, 1024), (0, 512))
# llm/llama_server.go, DefaultEmbeddingNumBatchForContext: at most the context.
OLLAMA_EMBEDDING_BATCH_TOKENS = 2048
# server/sched.go of v0.24.0 and v0.33.0: these serve one sequence at a time, whatever was asked; so do models for embeddings.
ONE_SEQUENCE = frozenset(
    """
    mllama qwen3vl qwen3vlmoe qwen35 qwen35moe qwen3next lfm2 lfm2moe nemotron_h nemotron_h_moe nemotron_h_omni
    """.split()  # noqa: SIM905 - so many words are read as words
)
# The first version that runs llama-server for every GGUF model (commit 9db4bdbad). Before it, Ollama ran
# models itself, with batches of this size (api/types.go, v0.24.0) or of an embedding model's whole context.
FIRST_WITH_LLAMA_SERVER = (0, 30)
OLD_BATCH_TOKENS = 512

# src/llama-context.cpp of llama.cpp b10488: cells are allocated in groups of this size.
CELL_PADDING = 256


class SettingsError(ValueError):
    """Settings that no engine would load a model with; the message says what was got and what is possible."""


@dataclass(frozen=True)
class Settings:
    """How a model is loaded. Every ``None`` means: what the engine takes by itself.

    ``context_tokens``: of one sequence; ``parallel``: sequences at once. ``batch_tokens`` and ``ubatch_tokens``: logical and
    physical batch (Ollama uses one size for both). ``flash_attention``: on, off or auto. ``kv_type_k``, ``kv_type_v``: types
    of the two caches. ``gpu_layers``: None = all, 0 = none; the output layer counts as one. ``kv_unified``: one cache for all
    sequences together. ``swa_full``: sliding-window layers keep the whole context. ``kv_offload`` False: the cache stays on
    the host. ``tensor_split``: shares of the accelerators instead of their free memory. ``cache_ram_mib``: limit of the
    prompt cache in host memory, 0 = off.
    """

    context_tokens: int
    parallel: int = 1
    batch_tokens: int | None = None
    ubatch_tokens: int | None = None
    flash_attention: str = "auto"
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    gpu_layers: int | None = None
    embedding: bool = False
    mmap: bool | None = None
    cache_ram_mib: int | None = None
    kv_unified: bool = False
    swa_full: bool = False
    kv_offload: bool = True
    projector_offload: bool = True
    tensor_split: tuple[float, ...] | None = None
    engine: str = LLAMA_CPP
    engine_version: str | None = None


@dataclass(frozen=True)
class Pool:
    """One memory that a model can be put into. kind: gpu (own memory), unified (shared with the CPU) or cpu.

    ``free_mib``: what is free when the model is loaded; several accelerators share the layers in this proportion.
    ``backend``: cuda, rocm, vulkan, metal or cpu.
    """

    name: str
    kind: str
    free_mib: float
    backend: str = "cuda"


def resolved(settings: Settings, accelerators: tuple[Pool, ...]) -> Settings:
    """The settings with the engine's own choices written out. Raises SettingsError for what it would refuse."""
    _check(settings)
    ollama = settings.engine == OLLAMA
    total = settings.context_tokens * settings.parallel
    batch = settings.batch_tokens
    if batch is None and runs_models_itself(settings):
        batch = settings.context_tokens if settings.embedding else min(OLD_BATCH_TOKENS, settings.context_tokens)
    elif batch is None and ollama and settings.embedding:
        batch = min(OLLAMA_EMBEDDING_BATCH_TOKENS, settings.context_tokens)
    elif batch is None:
        batch = automatic_batch_tokens(total) if ollama else BATCH_TOKENS
    ubatch = settings.ubatch_tokens
    if ubatch is None:
        ubatch = batch if ollama or settings.embedding else UBATCH_TOKENS
    on_cpu = all(pool.kind == "cpu" for pool in accelerators) or settings.gpu_layers == 0
    mmap = settings.mmap if settings.mmap is not None else not (ollama and on_cpu)
    # llama-server has the prompt cache, nobody else.
    cache_ram_mib = CACHE_RAM_MIB if settings.cache_ram_mib is None else settings.cache_ram_mib
    cache_ram_mib = 0 if runs_models_itself(settings) else cache_ram_mib
    version = settings.engine_version or (OLLAMA_VERSION if ollama else LLAMA_CPP_VERSION)
    return replace(
        settings,
        batch_tokens=batch,
        ubatch_tokens=min(ubatch, batch),
        mmap=mmap,
        cache_ram_mib=cache_ram_mib,
        engine_version=version,
    )


def runs_models_itself(settings: Settings) -> bool:
    """Whether the engine is an Ollama of before v0.30; an unknown version is taken to be newer."""
    found = re.match(r"v?(\d+)\.(\d+)\.", settings.engine_version or "")
    if settings.engine != OLLAMA or not found:
        return False
    return (0, 0) < (int(found[1]), int(found[2])) < FIRST_WITH_LLAMA_SERVER


def automatic_batch_tokens(total_context_tokens: int) -> int:
    """The batch that Ollama wants for the contexts of all sequences together."""
    return next(batch for above, batch in OLLAMA_BATCHES if total_context_tokens > above)


def _check(settings: Settings) -> None:
    for key in ("context_tokens", "parallel"):
        if getattr(settings, key) < 1:
            raise SettingsError(f"got {key} {getattr(settings, key)}, expected 1 or more")
    for key in ("batch_tokens", "ubatch_tokens"):
        value = getattr(settings, key)
        if value is not None and value < 1:
            raise SettingsError(f"got {key} {value}, expected 1 or more")
    for key in ("kv_type_k", "kv_type_v"):
        if getattr(settings, key) not in KV_CACHE_TYPES:
            raise SettingsError(f"got {key} {getattr(settings, key)!r}, expected one of {', '.join(KV_CACHE_TYPES)}")
    if settings.flash_attention not in ("on", "off", "auto"):
        raise SettingsError(f"got flash_attention {settings.flash_attention!r}, expected on, off or auto")
    if settings.flash_attention == "off" and is_quantised(settings.kv_type_v):
        raise SettingsError(
            f"got kv_type_v {settings.kv_type_v} with flash_attention off, which llama.cpp refuses: a quantised V cache needs "
            "flash attention. Turn it on, or take f16"
        )


def for_model(settings: Settings, shape: ModelShape) -> Settings:
    """The settings as llama.cpp changes them for a model (llama_init_from_model of src/llama-context.cpp, b10488).

    Ollama clips the context to the one the model was trained with, and gives some models one sequence. Raises SettingsError
    for what would be refused.
    """
    if settings.engine == OLLAMA:
        context = min(settings.context_tokens, shape.context_length or settings.context_tokens)
        alone = settings.embedding or shape.fact("general.architecture.written") in ONE_SEQUENCE
        settings = replace(settings, context_tokens=context, parallel=1 if alone else settings.parallel)
    if shape.architecture == "grok":
        settings = replace(settings, flash_attention="off")
    _check(settings)
    if (shape.mla or shape.rules.memory == "dsv4") and settings.kv_type_k != settings.kv_type_v:
        raise SettingsError(
            f"got kv_type_k {settings.kv_type_k} with kv_type_v {settings.kv_type_v}, which llama.cpp refuses for compressed "
            f"attention ({shape.architecture}). Give both the same type"
        )
    if settings.flash_attention == "auto" and is_quantised(settings.kv_type_v):
        settings = replace(settings, flash_attention="on")
    if settings.flash_attention != "off" and not shape.encoder:
        _check_blocks(settings, shape)
    return settings


def _check_blocks(settings: Settings, shape: ModelShape) -> None:
    for key, length in (("kv_type_k", "key_length"), ("kv_type_v", "value_length")):
        block = BLOCKS[getattr(settings, key)][0]
        widths = {getattr(layer, length) for layer in shape.layers if layer.owns_cache}
        odd = sorted(width for width in widths if width % block)
        if odd:
            raise SettingsError(
                f"got {key} {getattr(settings, key)} for heads of {odd[0]} elements, which llama.cpp refuses: its blocks have "
                f"{block}. Take f16"
            )


@dataclass(frozen=True)
class Cells:
    """How many cells the caches have: per stream (sequence, or all together), and how many streams there are."""

    context_cells: int
    window_cells: int
    streams: int
    total_context_tokens: int
    ubatch_tokens: int


def padded(tokens: int, step: int = CELL_PADDING) -> int:
    """Rounded up to a multiple of ``step``."""
    return -(-tokens // step) * step


def cells_of(settings: Settings, window_tokens: int, causal: bool) -> Cells:
    """The cells of the caches. ``settings`` resolved.

    Source: llama_context's constructor (src/llama-context.cpp) and llama_kv_cache_iswa (src/llama-kv-cache-iswa.cpp), b10488.
    """
    asked = settings.context_tokens * settings.parallel
    batch = settings.batch_tokens or BATCH_TOKENS
    batch = min(asked, batch) if causal else batch
    ubatch = min(batch, settings.ubatch_tokens or UBATCH_TOKENS)
    total = padded(asked)
    cells = total if settings.kv_unified else padded(total // settings.parallel)
    total = total if settings.kv_unified else cells * settings.parallel
    sharing = settings.parallel if settings.kv_unified else 1
    window = cells if settings.swa_full else padded(min(cells, window_tokens * sharing + ubatch))
    return Cells(cells, window, 1 if settings.kv_unified else settings.parallel, total, ubatch)
