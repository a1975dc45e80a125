"""What Ollama allocated before v0.30, when it ran models itself: in an engine of its own, or in llama.cpp's library.

Both keep other caches than llama-server does, and its own engine keeps a tied token embedding twice. Compute buffers are not
modelled. Source: Ollama v0.24.0, fs/ggml/ggml.go (OllamaEngineRequired), llm/server.go, kvcache/causal.go, kvcache/recurrent.go,
ml/backend/ggml/ggml.go, llama/llama.go; compared with what it reports for small models of 13 architectures.
"""

from __future__ import annotations

from dataclasses import replace

from .memory_kv import LayerCache, layer_caches, row_bytes, state_bytes
from .memory_settings import Settings, padded, runs_models_itself
from .model_shape import LayerShape, ModelShape
from .tensor_types import is_quantised

# OllamaEngineRequired, in llama.cpp's spelling; mllama has none there.
OWN_ENGINE = frozenset(
    """
    bert deepseek2 deepseek2-ocr gemma-embedding gemma3 gemma3n gemma4 glmocr gpt-oss laguna lfm2 lfm2moe llama4 mistral3 mllama
    nemotron_h nemotron_h_moe nomic-bert nomic-bert-moe olmo3 qwen25vl qwen2vl qwen3 qwen35 qwen35moe qwen3moe qwen3next qwen3vl
    qwen3vlmoe
    """.split()  # noqa: SIM905 - so many words are read as words
)
# Where the tokenizer decides: with another one it turns to llama.cpp's library (New of model/models/deepseek2 and the like).
PRE_TOKENIZERS = {"deepseek2": frozenset({"deepseek-v3", "glm4"}), "laguna": frozenset({"laguna"})}
# NewSWAMemCache(…, 4096, …): so many tokens stay of what slides out of the window.
REMEMBERED_TOKENS = 4096
REMEMBERING = frozenset({"gpt-oss", "gemma4"})
# kvcache/recurrent.go: copies of a state to go back to, of each sequence, and at least so many in all.
STATE_CHECKPOINTS = 24
LEAST_STATE_CHECKPOINTS = 8


def runs_own_engine(shape: ModelShape) -> bool:
    """Whether such an Ollama runs the model in its own engine, not in llama.cpp's library."""
    if shape.architecture not in OWN_ENGINE:
        return False
    tokenizers = PRE_TOKENIZERS.get(shape.architecture)
    return tokenizers is None or shape.fact("tokenizer.ggml.pre") in tokenizers


def keeps_second_embedding(shape: ModelShape, settings: Settings) -> bool:
    """Whether the token embedding is in memory twice because the file has no output matrix, on the CPU as well."""
    tensors = shape.tensors
    return runs_models_itself(settings) and runs_own_engine(shape) and tensors is not None and not tensors.output_matrix_bytes


def old_layer_caches(shape: ModelShape, settings: Settings) -> tuple[LayerCache, ...]:
    """The caches of each layer, in order. ``settings`` resolved."""
    if not runs_own_engine(shape):
        return tuple(
            _library_cache(shape, layer, cache, settings) for layer, cache in zip(shape.layers, _library(shape, settings))
        )
    if shape.rules.memory == "none":
        return layer_caches(shape, settings)
    return tuple(_own_cache(shape, layer, settings) for layer in shape.layers)


def _library(shape: ModelShape, settings: Settings) -> tuple[LayerCache, ...]:
    """llama.cpp's defaults, which the library's callers leave as they are: sliding windows keep the whole context."""
    return layer_caches(shape, replace(settings, swa_full=True))


def _library_cache(shape: ModelShape, layer: LayerShape, cache: LayerCache, settings: Settings) -> LayerCache:
    """That llama.cpp still kept the latent of compressed attention a second time, as values."""
    if shape.mla is None or not layer.owns_cache:
        return cache
    values = row_bytes(layer.value_length * layer.head_count_kv, settings.kv_type_v)
    return replace(cache, full_bytes=cache.full_bytes + values * _cells(settings))


def _cells(settings: Settings) -> int:
    return padded(settings.context_tokens) * settings.parallel


def _own_cache(shape: ModelShape, layer: LayerShape, settings: Settings) -> LayerCache:
    state = state_bytes(shape, settings) if layer.recurrent else 0
    kept = settings.parallel + max(STATE_CHECKPOINTS * settings.parallel, LEAST_STATE_CHECKPOINTS)
    state = state // settings.parallel * kept
    if not layer.owns_cache or layer.nextn:
        return LayerCache(0, 0, state)
    value_elements = shape.mla.kv_lora_rank if shape.mla else layer.value_length * layer.head_count_kv
    row = row_bytes(layer.key_length * layer.head_count_kv, _kept_type(settings, settings.kv_type_k))
    row += row_bytes(value_elements, _kept_type(settings, settings.kv_type_v))
    window = _window_cells(shape, settings) if layer.sliding else None
    if window is None:
        return LayerCache(padded(settings.context_tokens * settings.parallel) * row, 0, state)
    return LayerCache(0, window * row, state)


def _kept_type(settings: Settings, name: str) -> str:
    """llm/server.go: a quantised cache was ignored where flash attention was off."""
    return "f16" if is_quantised(name) and settings.flash_attention == "off" else name


def _window_cells(shape: ModelShape, settings: Settings) -> int | None:
    """Cells of a sliding window; None where it is as long as the context, or a chunk that is not cut off (Causal.Init)."""
    remembered = REMEMBERED_TOKENS if shape.architecture in REMEMBERING else shape.window_tokens
    if settings.parallel > 1:
        remembered = max(remembered, shape.window_tokens + 1)
    if remembered >= settings.context_tokens or shape.window_kind == "chunked":
        return None
    return padded(settings.parallel * remembered + (settings.ubatch_tokens or 0))
