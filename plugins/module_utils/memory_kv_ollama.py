"""The caches of models in Ollama before 0.30, which ran some architectures in an engine of its own.

Source: kvcache/causal.go, kvcache/recurrent.go, model/models/*, fs/ggml/ggml.go (OllamaEngineRequired) and llama/llama.go of
Ollama v0.24.0. The other architectures ran in llama.cpp, whose library keeps the whole context of sliding layers by default.
"""

from __future__ import annotations

from dataclasses import replace

from .memory_kv import LayerCache, layer_caches, row_bytes
from .memory_settings import OLD_OLLAMA_BATCH_TOKENS, Settings, padded
from .model_shape import LayerShape, ModelShape
from .tensor_types import is_quantised

# As blobs spell them.
OWN_ENGINE = frozenset(
    """
    bert deepseek2 deepseekocr gemma3 gemma3n gemma4 gptoss gpt-oss laguna llama4 mistral3 mllama nemotron_h nemotron_h_moe
    nemotron_h_omni nomic-bert olmo3 qwen25vl qwen3 qwen3moe qwen35 qwen35moe qwen3next qwen3vl qwen3vlmoe glm4moelite glmocr
    lfm2 lfm2moe
    """.split()  # noqa: SIM905
)
# NewSWAMemCache: these keep so many tokens of a sequence, whatever their window is.
REMEMBERED_TOKENS = {"gpt-oss": 4096, "gemma4": 4096}
# NewChunkedAttentionCache keeps everything.
CHUNKED = frozenset({"llama4"})
# DefaultCheckpointCount of a recurrent cache, and the least it makes room for.
CHECKPOINTS = 24
LEAST_CHECKPOINTS = 8
F32_BYTES = 4


def old_layer_caches(shape: ModelShape, settings: Settings) -> tuple[LayerCache, ...]:
    """The caches of each layer, in order, in Ollama before 0.30. ``settings`` resolved."""
    if shape.fact("general.architecture.written") not in OWN_ENGINE:
        return layer_caches(shape, replace(settings, swa_full=True))
    if shape.encoder:
        return layer_caches(shape, settings)
    return tuple(_own_cache(shape, layer, settings) for layer in shape.layers)


def _own_cache(shape: ModelShape, layer: LayerShape, settings: Settings) -> LayerCache:
    kv_bytes = 0
    if layer.owns_cache and not layer.nextn:
        row = layer.head_count_kv * layer.key_length
        kv_bytes = row_bytes(row, _type(settings, settings.kv_type_k))
        kv_bytes += row_bytes(layer.head_count_kv * layer.value_length, _type(settings, settings.kv_type_v))
        kv_bytes *= _cells(shape, layer, settings)
    state = 0
    if layer.recurrent and shape.state:
        rows = settings.parallel + max(CHECKPOINTS * settings.parallel, LEAST_CHECKPOINTS)
        state = F32_BYTES * (shape.state.rolling_elements + shape.state.state_elements) * rows
    return LayerCache(0 if layer.sliding else kv_bytes, kv_bytes if layer.sliding else 0, state)


def _type(settings: Settings, name: str) -> str:
    """Quantised caches were ignored without flash attention."""
    return "f16" if is_quantised(name) and settings.flash_attention == "off" else name


def _cells(shape: ModelShape, layer: LayerShape, settings: Settings) -> int:
    whole = padded(settings.context_tokens * settings.parallel)
    if not layer.sliding or shape.architecture in CHUNKED:
        return whole
    kept = max(REMEMBERED_TOKENS.get(shape.architecture, 0), shape.window_tokens)
    if settings.parallel > 1:
        kept = max(kept, shape.window_tokens + 1)
    if kept >= settings.context_tokens:
        return whole
    return padded(settings.parallel * kept + (settings.batch_tokens or OLD_OLLAMA_BATCH_TOKENS))
