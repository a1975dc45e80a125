"""The words of admission: what is known of a host, its engine and its models, and what a replay of the scheduler says.

Memories are MiB in what callers pass and read, bytes inside the rules, because the engine compares whole bytes.
Unknown is None, never 0: an unset variable means the engine's own default of that version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

MIB = 2**20
FOREVER_S = float("inf")

Library = Literal["cuda", "rocm", "metal", "vulkan", "cpu"]
Placement = Literal["whole", "split", "partial", "cpu"]
FreeView = Literal["both", "real", "reported"]
Verdict = Literal["stays", "expires", "reloads", "spills", "evicts", "refused", "unknown"]
EventKind = Literal[
    "loads",
    "reuses",
    "evicts",
    "reloads",
    "lowers_context",
    "out_of_memory",
    "spills",
    "overcommits",
    "refused",
    "unloads",
    "expires",
]


def bytes_of(mib: float) -> int:
    """MiB as whole bytes."""
    return round(mib * MIB)


@dataclass(frozen=True)
class Accelerator:
    """One device as the engine sees it; ``free_mib`` before the first model is loaded (None: all of it).

    ``integrated``: it shares the host's RAM; every Metal device does. ``compute_capability`` of a CUDA device decides
    whether flash attention is possible; None: taken as recent enough.
    """

    name: str
    library: Library
    total_mib: float
    free_mib: float | None = None
    integrated: bool = False
    compute_capability: tuple[int, int] | None = None

    @property
    def shares_ram(self) -> bool:
        return self.integrated or self.library == "metal"

    @property
    def total_bytes(self) -> int:
        return bytes_of(self.total_mib)

    @property
    def free_bytes(self) -> int:
        return self.total_bytes if self.free_mib is None else bytes_of(min(self.free_mib, self.total_mib))


@dataclass(frozen=True)
class EngineHost:
    """What the engine finds on a machine. ``ram_free_mib`` is what the system calls available before the first load."""

    accelerators: tuple[Accelerator, ...] = ()
    ram_free_mib: float | None = None
    swap_free_mib: float | None = None
    engine: Literal["ollama", "llama_cpp"] = "ollama"

    @property
    def devices(self) -> tuple[Accelerator, ...]:
        """The accelerators that the engine counts: without the CPU's RAM."""
        return tuple(item for item in self.accelerators if item.library != "cpu")

    @property
    def is_mac(self) -> bool:
        return any(item.library == "metal" for item in self.accelerators)


@dataclass(frozen=True)
class ServerSettings:
    """The engine's environment. None: the variable is unset.

    ``keep_alive`` as OLLAMA_KEEP_ALIVE takes it: seconds, or text such as ``5m``, ``-1``. ``gpu_overhead_mib`` is
    OLLAMA_GPU_OVERHEAD, which the engine takes in bytes; ``fit`` and ``fit_target_mib`` are llama-server's
    LLAMA_ARG_FIT and LLAMA_ARG_FIT_TARGET.
    """

    max_loaded_models: int | None = None
    num_parallel: int | None = None
    context_length: int | None = None
    keep_alive: str | float | None = None
    sched_spread: bool | None = None
    flash_attention: bool | None = None
    kv_cache_type: str | None = None
    gpu_overhead_mib: float | None = None
    fit: bool | None = None
    fit_target_mib: float | None = None


@dataclass(frozen=True)
class RunnerOptions:
    """The options that belong to a loaded runner, from a Modelfile or a request. None: not given."""

    num_ctx: int | None = None
    num_batch: int | None = None
    num_gpu: int | None = None
    main_gpu: int | None = None
    use_mmap: bool | None = None
    num_thread: int | None = None

    def over(self, below: RunnerOptions) -> RunnerOptions:
        """These options where they are given, else those of ``below``."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return replace(below, **given) if given else below


@dataclass(frozen=True)
class EngineShape:
    """The header's facts from which the engine computes its own prediction; ``context_length`` is the training context.

    None is a key that the header does not have: the engine then counts one head, no width, no limit.
    """

    architecture: str
    block_count: int
    embedding_length: int
    head_count: int | tuple[int, ...] | None = None
    head_count_kv: int | tuple[int, ...] | None = None
    key_length: int | None = None
    value_length: int | None = None
    context_length: int | None = None
    vocabulary: int | None = None


@dataclass(frozen=True)
class Footprint:
    """What one loaded model really takes, in MiB.

    ``device_mib``: all its buffers on accelerators when it is offloaded whole to one. ``process_mib``: what its process
    takes besides on each accelerator it uses (a CUDA context), which the engine never sees. ``unseen_mib``: the part of
    device_mib that the engine's reading of llama-server's log misses (the projector; all but one cache of a
    sliding-window model). ``split_extra_mib``: more compute buffers for each further accelerator. ``host_mib``: RAM
    besides. ``cpu_mib``: RAM when nothing is offloaded (None: device_mib + host_mib). ``layers_mib``: weights and cache
    by layer, the output last, with ``graph_mib`` per accelerator, for engines that lay out layers themselves.
    """

    device_mib: float
    host_mib: float = 0.0
    process_mib: float = 0.0
    unseen_mib: float = 0.0
    split_extra_mib: float = 0.0
    cpu_mib: float | None = None
    layers_mib: tuple[float, ...] | None = None
    graph_mib: float = 0.0


@dataclass(frozen=True)
class Candidate:
    """A model that shall be loaded. ``family`` is the manifest's model_family (None: the architecture).

    ``blob_digest`` names the weights' file: names that share it share a runner, and among equals the alphabet of digests
    decides who is evicted. None: the name stands in. ``needed_context_tokens``: a mend goes no lower.
    """

    name: str
    file_bytes: int | None = None
    shape: EngineShape | None = None
    blob_digest: str | None = None
    family: str | None = None
    is_embedding: bool = False
    is_multimodal: bool = False
    options: RunnerOptions = RunnerOptions()
    keep_alive: str | float | None = None
    real: Footprint | None = None
    needed_context_tokens: int | None = None

    @property
    def blob(self) -> str:
        return self.blob_digest or self.name


@dataclass(frozen=True)
class Loading:
    """How a model is about to be loaded: what its real size depends on. ``accelerators`` 0: on the CPU."""

    context_tokens: int
    parallel: int
    batch_tokens: int
    accelerators: int
    flash_attention: bool
    kv_cache_type: str


Measure = Callable[[Candidate, Loading], "Footprint | None"]


@dataclass(frozen=True)
class Request:
    """What a client asks of a model. ``busy``: it is still being answered when the next request comes.

    ``empty``: without a prompt, which loads the model, or with a keep-alive of 0 unloads it.
    """

    name: str
    options: RunnerOptions = RunnerOptions()
    keep_alive: str | float | None = None
    context_shift: bool | None = None
    busy: bool = False
    empty: bool = False


@dataclass(frozen=True)
class Event:
    """One thing the scheduler does, the rule behind it, and the arithmetic in a sentence. ``numbers`` are MiB or counts."""

    kind: EventKind
    model: str
    rule: str
    sentence: str
    accelerators: tuple[str, ...] = ()
    placement: Placement | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Resident:
    """A model in memory when the replay ends. ``*_basis`` says whose number it is."""

    name: str
    blob: str
    context_tokens: int
    parallel: int
    batch_tokens: int
    keep_alive_s: float
    placement: Placement
    accelerators: tuple[str, ...]
    predicted_mib: float
    predicted_basis: str
    real_mib: float
    real_basis: str


@dataclass(frozen=True)
class Replay:
    """What the engine does with a resident set. ``stays``: True, False, or None where it is not known."""

    verdict: Verdict
    reason: str
    events: tuple[Event, ...]
    residents: tuple[Resident, ...]
    order: tuple[str, ...]
    rules: str
    notes: tuple[str, ...] = ()

    @property
    def stays(self) -> bool | None:
        return None if self.verdict == "unknown" else self.verdict == "stays"

    @property
    def evicted(self) -> tuple[str, ...]:
        """Whoever was thrown out, in that order."""
        return tuple(event.model for event in self.events if event.kind == "evicts")
