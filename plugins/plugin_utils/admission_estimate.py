"""The sizes from which Ollama before 0.30 lays out a model: measured by its own runner, estimated for llama.cpp's.

For the architectures that run in llama.cpp's runner the estimate decides (fs/ggml/ggml.go GraphSize, llm/server.go
llamaServer.Load): the file by layer, a cache by layer, and a compute graph by a formula per architecture.
"""

from __future__ import annotations

from .admission_layout import Layers
from .admission_options import Asked, Setup
from .admission_prediction import most_heads
from .admission_types import Candidate, EngineShape, Footprint, bytes_of

# fs/ggml/ggml.go OllamaEngineRequired of v0.24.0: these run in Ollama's own runner, which measures.
OWN_RUNNER = frozenset(
    {"bert", "deepseek2", "deepseekocr", "gemma3", "gemma3n", "gemma4", "gptoss", "gpt-oss", "laguna", "llama4", "mistral3"}
    | {"mllama", "nemotron_h", "nemotron_h_moe", "nemotron_h_omni", "nomic-bert", "olmo3", "qwen25vl", "qwen3", "qwen3moe"}
    | {"qwen35", "qwen35moe", "qwen3next", "qwen3vl", "qwen3vlmoe", "glm4moelite", "glmocr", "lfm2", "lfm2moe"}
)
# fs/ggml/ggml.go kvCacheBytesPerElement.
CACHE_BYTES = {"q8_0": 1.0, "q4_0": 0.5}


def measures_itself(candidate: Candidate) -> bool:
    return candidate.shape is not None and candidate.shape.architecture in OWN_RUNNER


def layers_of(setup: Setup, candidate: Candidate, wish: Asked, taken: Footprint, on_cpu: bool) -> Layers:
    """The sizes that the engine lays out. Layers that nobody gave are taken as equal parts of the whole."""
    if measures_itself(candidate) or candidate.shape is None or candidate.file_bytes is None:
        return _measured(candidate, taken, on_cpu)
    return _estimated(setup, candidate, candidate.shape, candidate.file_bytes, wish)


def _measured(candidate: Candidate, taken: Footprint, on_cpu: bool) -> Layers:
    graph, host = bytes_of(taken.graph_mib), bytes_of(taken.host_mib)
    if taken.layers_mib is not None:
        return Layers(tuple(bytes_of(size) for size in taken.layers_mib), graph, host, graph)
    whole, host = (bytes_of(taken.cpu_mib), 0) if on_cpu and taken.cpu_mib is not None else (bytes_of(taken.device_mib), host)
    count = (candidate.shape.block_count if candidate.shape else 0) + 1
    return Layers(_parts(max(0, whole - graph), count), graph, host, graph)


def _parts(size: int, count: int) -> tuple[int, ...]:
    return (size // count,) * (count - 1) + (size - size // count * (count - 1),)


def _estimated(setup: Setup, candidate: Candidate, shape: EngineShape, file_bytes: int, wish: Asked) -> Layers:
    context = wish.context_tokens * wish.parallel
    batch = min(wish.num_batch, wish.context_tokens)
    if candidate.is_embedding:
        batch = max(batch, wish.context_tokens)
    weights = _parts(file_bytes, shape.block_count + 1)
    cache = [_cache(setup, shape, heads, context) for heads in _by_layer(shape.head_count_kv, shape.block_count)]
    sizes = tuple(weight + kept for weight, kept in zip(weights, [*cache, 0], strict=True))
    graph = _graph(shape, context, batch) or _default_graph(shape, sum(cache))
    return Layers(sizes, graph, buffer_bytes=sizes[0])


def _by_layer(heads: int | tuple[int, ...] | None, count: int) -> list[int]:
    if isinstance(heads, tuple):
        return [*heads, *[1] * count][:count]
    return [1 if heads is None else heads] * count


def _cache(setup: Setup, shape: EngineShape, heads: int, context: int) -> int:
    width = shape.embedding_length // (_fewest(shape) or 1)
    key = width if shape.key_length is None else shape.key_length
    value = width if shape.value_length is None else shape.value_length
    return int(context * (key + value) * heads * _bytes_per_element(setup))


def _fewest(shape: EngineShape) -> int:
    heads = shape.head_count
    return min(heads, default=1) if isinstance(heads, tuple) else 1 if heads is None else heads


def _bytes_per_element(setup: Setup) -> float:
    """A quantised cache needs flash attention switched on by hand in llama.cpp's runner."""
    kind = (setup.settings.kv_cache_type or "f16").lower()
    return CACHE_BYTES.get(kind, 2.0) if setup.settings.flash_attention else 2.0


def _graph(shape: EngineShape, context: int, batch: int) -> int:
    """Bytes of the compute graph of a fully offloaded model; 0 where the engine has no formula for the architecture."""
    embedding, heads, vocabulary = shape.embedding_length, most_heads(shape.head_count), shape.vocabulary or 0
    scores = context * (1 + heads)
    key = shape.key_length or embedding // (_fewest(shape) or 1)
    logits = embedding + vocabulary
    wide = {
        "llama": (1 + 4 * embedding + scores, logits),
        "gemma": (2 + scores + 2 * embedding + 2 * key * heads, logits),
        "gemma2": (2 + scores + 2 * embedding + 2 * key * heads, logits),
        "command-r": (2 + 4 * embedding + scores, logits),
        "qwen2": (1 + 2 * embedding + scores, logits),
        "phi2": (1 + 4 * embedding + scores, logits),
        "stablelm": (scores + 3 * embedding + 2, 0),
    }.get(shape.architecture, (0, 0))
    return 4 * batch * max(wide)


def _default_graph(shape: EngineShape, cache: int) -> int:
    heads = shape.head_count_kv
    least = min(heads, default=1) if isinstance(heads, tuple) else 1 if heads is None else heads
    return most_heads(shape.head_count) // (least or 1) * cache // 6
