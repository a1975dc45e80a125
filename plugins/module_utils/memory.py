"""What one model takes when it is loaded, as named parts in MiB for each accelerator and for the host's memory.

The door to `model_shape` (what the model is), `memory_settings` (how it is loaded), `memory_weights`, `memory_kv` and
`compute_buffers` (what that takes).
"""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass, replace
from typing import Any, Callable

from .compute_buffers import ComputeBuffers, compute_buffers
from .memory_before_llama_server import old_layer_caches
from .memory_kv import checkpoint_bytes, layer_caches
from .memory_settings import Pool, Settings, cells_of, for_model, resolved, runs_models_itself
from .memory_weights import HOST, placed_weights, placement_of
from .model_shape import MemoryShapeError, ModelShape
from .tensor_summary import TensorSummary

MIB = 2**20
F32_BYTES = 4

# What one process takes on an accelerator beside its buffers. CUDA contexts were reported between 107 MiB (RTX 4060 Ti) and
# 555 MiB (RTX PRO 6000; llama.cpp pull requests 20595 and 23604); Ollama reserves 457 MiB, and 512 MiB on Metal
# (MinimumMemory of ml/device.go, v0.33.0).
ACCELERATOR_OVERHEAD_MIB = {"gpu": 500.0, "unified": 512.0}
# What a started llama-server b10488 keeps on the host beside its buffers: measured on Linux with BPE vocabularies of 4096,
# 32000, 128256 and 262144 tokens as 22, 32, 72 and 125 MiB: a base, and for each token its text and places in tables.
HOST_OVERHEAD_MIB = 24.0
HOST_OVERHEAD_BYTES_PER_TOKEN = 416
# An accelerator's libraries in the process; processes were reported with 100 to 300 MiB in all.
HOST_DRIVER_MIB = 150.0
# What Ollama keeps free for encoding an image beside the projector's weights (mmprojOffloadHeadroom, llm/llama_server.go,
# v0.33.0). The encoder's own buffers depend on the size of the image.
PROJECTOR_HEADROOM_MIB = 1024.0

EXACT = "exact"
UPPER = "upper"


@dataclass(frozen=True)
class ModelFiles:
    """A model as it lies on disk: its shape, the size of its file, the bytes of a separate projector and of adapters.

    ``own_options``: what its manifest says of num_ctx and the like, which an Ollama puts above its own settings.
    """

    shape: ModelShape
    file_bytes: int | None = None
    projector_bytes: int = 0
    adapter_bytes: int = 0
    own_options: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class PoolParts:
    """What one loaded model takes of one memory.

    Three parts of the host grow with use, and are given with what they grow to: ``prompt_cache_mib`` (its limit),
    ``checkpoint_mib`` (recurrent and sliding-window models), and ``output_mib`` of an embedding model.
    """

    name: str
    kind: str
    weights_mib: float = 0.0
    kv_cache_mib: float = 0.0
    state_mib: float = 0.0
    compute_mib: float = 0.0
    output_mib: float = 0.0
    projector_mib: float = 0.0
    overhead_mib: float = 0.0
    prompt_cache_mib: float = 0.0
    checkpoint_mib: float = 0.0

    @property
    def total_mib(self) -> float:
        return sum(float(getattr(self, part)) for part in PARTS)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, with the total."""
        return {**asdict(self), "total_mib": self.total_mib}


PARTS = tuple(name for name in PoolParts.__dataclass_fields__ if name.endswith("_mib"))
# Parts of the host that are empty when a model has just been loaded.
HOST_GROWTH = ("prompt_cache_mib", "checkpoint_mib")


@dataclass(frozen=True)
class Prediction:
    """The parts in each pool. bound: ``exact``, or ``upper`` for the ``reasons`` given: it takes so much or less. A reason beside
    an exact bound is worth knowing: what the accelerators cannot compute.

    ``accelerators`` in the order they were given, without those of kind cpu: these are the ``host``.
    """

    accelerators: tuple[PoolParts, ...]
    host: PoolParts
    bound: str
    reasons: tuple[str, ...]
    engine: str
    engine_version: str
    offloaded_layers: int
    layer_count: int

    @property
    def pools(self) -> tuple[PoolParts, ...]:
        return (*self.accelerators, self.host)

    @property
    def total_mib(self) -> float:
        return sum(pool.total_mib for pool in self.pools)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a report."""
        plain = {key: value for key, value in asdict(self).items() if key not in ("accelerators", "host", "reasons")}
        pools = [pool.as_dict() for pool in self.pools]
        return {**plain, "reasons": list(self.reasons), "pools": pools, "total_mib": self.total_mib}


Predict = Callable[["ModelFiles", Settings, "tuple[Pool, ...]"], Prediction]


def refusing_contradictions(compute: Predict) -> Callable[..., Prediction]:
    """Numbers of a header that contradict each other (a state without ranks, experts that nobody declared) end in such errors."""

    @functools.wraps(compute)
    def refusing(model: ModelFiles, settings: Settings, accelerators: tuple[Pool, ...] = ()) -> Prediction:
        try:
            return compute(model, settings, accelerators)
        except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError) as error:
            told = f"({type(error).__name__}: {error})" if str(error) else f"({type(error).__name__})"
            architecture = model.shape.architecture
            raise MemoryShapeError(
                f"the numbers of the header of this {architecture} model contradict each other {told}"
            ) from error

    return refusing


@refusing_contradictions
def predict(model: ModelFiles, settings: Settings, accelerators: tuple[Pool, ...] = ()) -> Prediction:
    """The memory of a model that is loaded into these accelerators and the host.

    Accelerators of kind cpu stand for the host's memory; without any other the model runs on the CPU.
    Raises SettingsError for settings that the engine refuses, ValueError where neither tensors nor file size are known,
    MemoryShapeError for a header that contradicts itself.
    """
    devices = tuple(pool for pool in accelerators if pool.kind != "cpu")
    host_name = next((pool.name for pool in accelerators if pool.kind == "cpu"), "host")
    chosen = resolved(for_model(settings, model.shape), devices)
    reasons = list(_unknowns(model.shape))
    shape = model.shape
    if shape.tensors is None:
        shape = replace(shape, tensors=tensors_of_file(model), tied_output=False)
        reasons.append("the tensors are not known, only the size of the file")
    placement = placement_of(len(shape.layers), chosen, devices)
    used = set(placement.used)
    rows = [_parts(pool, index in used) for index, pool in enumerate(devices)]
    rows.append(_host_parts(host_name, shape, chosen, bool(used)))
    _add_weights(rows, shape, chosen, devices)
    _add_adapters(rows, model, used)
    _add_caches(rows, shape, chosen, devices)
    buffers = compute_buffers(shape, chosen, devices)
    reasons += _add_compute(rows, buffers, chosen)
    reasons += _add_projector(rows, model, chosen, devices)
    spread = len({*placement.layers, placement.output}) > 1
    if spread and shape.tensors and shape.tensors.layer_bytes is None:
        reasons.append("layers are taken to be alike: only totals of the tensors are known")
    offloaded = sum(index != HOST for index in (*placement.layers, placement.output))
    return Prediction(
        accelerators=tuple(rows[:-1]),
        host=rows[-1],
        bound=UPPER if reasons else EXACT,
        reasons=(*reasons, *buffers.notes),
        engine=chosen.engine,
        engine_version=chosen.engine_version or "",
        offloaded_layers=offloaded,
        layer_count=len(placement.layers) + 1,
    )


def _unknowns(shape: ModelShape) -> tuple[str, ...]:
    unknown = () if shape.known else (f"the architecture {shape.architecture} is not known: every layer caches everything",)
    types = shape.tensors.unknown_types if shape.tensors else ()
    return (
        *unknown,
        *(f"the header does not say {fact}" for fact in shape.assumptions),
        *(f"tensors of {name} are counted with 4 bytes per element" for name in types),
    )


def tensors_of_file(model: ModelFiles) -> TensorSummary:
    """A bound where only the file's size is known: all of it in the layers, and the token embedding once more in 16 bit."""
    if model.file_bytes is None:
        raise ValueError("neither the tensors nor the size of the file are known")
    embedding = min(model.file_bytes, model.shape.vocabulary_size * model.shape.embedding_length * 2)
    return TensorSummary(
        token_embedding_bytes=embedding,
        input_bytes=0,
        per_layer_embedding_bytes=0,
        output_matrix_bytes=0,
        output_bytes=0,
        repeating_bytes=model.file_bytes,
        nextn_bytes=0,
        projector_bytes=0,
        layer_bytes=None,
        expert_layers=None,
        token_embedding_type=None,
        output_type=None,
        tensor_count=0,
    )


def _parts(pool: Pool, used: bool) -> PoolParts:
    return PoolParts(pool.name, pool.kind, overhead_mib=ACCELERATOR_OVERHEAD_MIB[pool.kind] if used else 0.0)


def _host_parts(name: str, shape: ModelShape, settings: Settings, used: bool) -> PoolParts:
    overhead = HOST_OVERHEAD_MIB + shape.vocabulary_size * HOST_OVERHEAD_BYTES_PER_TOKEN / MIB
    completes = not (shape.encoder or settings.embedding)
    return PoolParts(
        name,
        "cpu",
        overhead_mib=overhead + (HOST_DRIVER_MIB if used else 0.0),
        output_mib=output_bytes(shape, settings, output_rows(shape, settings)) / MIB,
        prompt_cache_mib=float(settings.cache_ram_mib or 0) if completes else 0.0,
        checkpoint_mib=0.0 if runs_models_itself(settings) else checkpoint_bytes(shape, settings) / MIB,
    )


def output_bytes(shape: ModelShape, settings: Settings, rows: int) -> int:
    """Bytes of the buffer for logits (and embeddings) on the host (output_reserve of src/llama-context.cpp, b10488)."""
    width = shape.vocabulary_size
    if settings.embedding or shape.architecture == "t5":
        width += int(shape.fact("embedding_length_out") or shape.embedding_length)
    return width * rows * F32_BYTES


def output_rows(shape: ModelShape, settings: Settings) -> int:
    """Rows that the output buffer grows to: one for each sequence; for embeddings one for each token of a batch, logits
    included (measured: 1500 tokens of a vocabulary of 128256 took 734 MiB).
    """
    if not settings.embedding:
        return settings.parallel
    tokens = settings.context_tokens * settings.parallel
    return max(settings.parallel, min(settings.batch_tokens or tokens, tokens))


def _add_weights(rows: list[PoolParts], shape: ModelShape, settings: Settings, devices: tuple[Pool, ...]) -> None:
    weights = placed_weights(shape, settings, devices)
    for index, size in enumerate((*weights.accelerator_bytes, weights.host_bytes)):
        rows[index] = replace(rows[index], weights_mib=size / MIB)


def _add_adapters(rows: list[PoolParts], model: ModelFiles, used: set[int]) -> None:
    """An adapter lies beside the layers that it changes: in equal shares where these are on several accelerators."""
    where = sorted(used) or [len(rows) - 1]
    for index in where:
        rows[index] = replace(rows[index], weights_mib=rows[index].weights_mib + model.adapter_bytes / MIB / len(where))


def _add_caches(rows: list[PoolParts], shape: ModelShape, settings: Settings, devices: tuple[Pool, ...]) -> None:
    """Each layer's caches lie where its weights are, or on the host where the caches are not offloaded."""
    placement = placement_of(len(shape.layers), settings, devices)
    kv_bytes, state_bytes = [0] * len(rows), [0] * len(rows)
    caches = old_layer_caches(shape, settings) if runs_models_itself(settings) else layer_caches(shape, settings)
    for where, cache in zip(placement.layers, caches):
        index = where if where != HOST and settings.kv_offload else len(rows) - 1
        kv_bytes[index] += cache.kv_bytes
        state_bytes[index] += cache.state_bytes
    for index, row in enumerate(rows):
        rows[index] = replace(row, kv_cache_mib=kv_bytes[index] / MIB, state_mib=state_bytes[index] / MIB)


def _add_compute(rows: list[PoolParts], buffers: ComputeBuffers, settings: Settings) -> tuple[str, ...]:
    for index, size in enumerate((*buffers.accelerator_bytes, buffers.host_bytes)):
        rows[index] = replace(rows[index], compute_mib=size / MIB)
    if runs_models_itself(settings):
        return ("compute buffers are those of llama-server, which Ollama runs since v0.30",)
    return () if buffers.exact else buffers.reasons


def _add_projector(rows: list[PoolParts], model: ModelFiles, settings: Settings, devices: tuple[Pool, ...]) -> list[str]:
    """The projector goes whole to the first accelerator, or to the host where the model is not wholly offloaded."""
    embedded = model.shape.tensors.projector_bytes if model.shape.tensors else 0
    size = (model.projector_bytes or embedded) / MIB
    if not size:
        return []
    placement = placement_of(len(model.shape.layers), settings, devices)
    on_host = not devices or HOST in placement.layers or not settings.projector_offload
    index = len(rows) - 1 if on_host else 0
    rows[index] = replace(rows[index], projector_mib=size + PROJECTOR_HEADROOM_MIB)
    return ["the projector is counted with 1 GiB for encoding an image, as Ollama does"]


def context_cells(model: ModelFiles, settings: Settings) -> int:
    """Cells of the whole cache, as the engine pads them."""
    return cells_of(settings, model.shape.window_tokens, model.shape.causal).total_context_tokens
