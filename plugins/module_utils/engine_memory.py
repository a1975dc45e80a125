"""What an engine says it has allocated for a model: the buffer report in its log, part by part and device by device.

llama.cpp writes a line for every buffer, and Ollama's log carries those of its runner. Ollama up to v0.25 logs a layout of its
own besides, in tenths, and only that where its own engine runs the model. The lines as they stand in llama.cpp b10488
(llama-model.cpp, llama-context.cpp, llama-kv-cache*.cpp, llama-memory-recurrent.cpp, clip.cpp) and in Ollama v0.24.0
(ml/device.go, llm/server.go). llama-server b10488 writes them from log verbosity 4 on; its default is 3, Ollama sets 4.

What is not understood is passed over: a log holds much else. A sliding-window model has several caches, which print one line
each, all of the same form: they are added up. What llama-server measures before it loads, to fit the model into memory, is no
allocation and is left out. Compute buffers that are reserved again replace those before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Iterable

WEIGHTS = "weights"
KV_CACHE = "kv_cache"
STATE = "state"
COMPUTE = "compute"
OUTPUT = "output"
PROJECTOR = "projector"
ADAPTER = "adapter"
PARTS = (WEIGHTS, KV_CACHE, STATE, COMPUTE, OUTPUT, PROJECTOR, ADAPTER)

HOST = "host"


@dataclass(frozen=True)
class Buffer:
    """One allocation. ``component`` and ``backend`` as the log names them (``llama_kv_cache``, ``CUDA0``, ``CPU_Mapped``)."""

    part: str
    component: str
    backend: str
    mib: float

    @property
    def device(self) -> str:
        """The accelerator's name without the kind of buffer (``MTL0_Mapped`` is on ``MTL0``), or ``host``."""
        if self.backend in ("CPU", "BLAS", HOST) or self.backend.startswith("CPU_") or self.backend.endswith("_Host"):
            return HOST
        return re.sub(r"_(Mapped|REPACK|Private|Split)$", "", self.backend)


@dataclass(frozen=True)
class LoadReport:
    """One loaded model. None is what the log does not say; ``context_tokens`` counts all sequences together.

    ``buffers``: what the process that runs the model allocated. ``layout``: Ollama's account up to v0.25, in which the caches
    hold the states as well. ``graph_splits``: 1 where the whole graph runs on one device. ``prompt_cache_limit_mib``: up to
    what the cache of old prompts may grow in host memory, 0 where it is off.
    """

    model_path: str | None = None
    buffers: tuple[Buffer, ...] = ()
    layout: tuple[Buffer, ...] = ()
    context_tokens: int | None = None
    parallel: int | None = None
    batch_tokens: int | None = None
    ubatch_tokens: int | None = None
    flash_attention: bool | None = None
    graph_splits: int | None = None
    offloaded_layers: int | None = None
    layer_count: int | None = None
    prompt_cache_limit_mib: float | None = None

    @property
    def account(self) -> tuple[Buffer, ...]:
        """The buffers; where nobody told them, the layout."""
        return self.buffers or self.layout

    def parts_mib(self) -> dict[str, dict[str, float]]:
        """MiB of each part on each device, ``{"host": {"weights": 52.6, …}, "CUDA0": {…}}``; absent is what was not told."""
        found: dict[str, dict[str, float]] = {}
        for buffer in self.account:
            parts = found.setdefault(buffer.device, {})
            parts[buffer.part] = parts.get(buffer.part, 0.0) + buffer.mib
        return found

    def part_mib(self, part: str) -> float:
        """One part on all devices together."""
        return sum(buffer.mib for buffer in self.account if buffer.part == part)

    @property
    def total_mib(self) -> float:
        return sum(buffer.mib for buffer in self.account)


# The function that logs a buffer, the backend that holds it, the word for it, its size.
BUFFER_LINE = re.compile(
    r"(?P<component>[A-Za-z_]\w*):\s+(?P<backend>\S+)\s+(?P<word>model|KV|RS|output|compute|LoRA|DSV4 \S+ state)\s+buffer size"
    r"\s*=\s*(?P<mib>\d+(?:\.\d+)?)\s*MiB"
)
PART_OF_WORD = {"model": WEIGHTS, "KV": KV_CACHE, "RS": STATE, "output": OUTPUT, "compute": COMPUTE, "LoRA": ADAPTER}
# The encoder of images and sounds (clip.cpp): one figure for its tensors, and compute buffers that are not the text model's.
PROJECTOR_LINE = re.compile(r"(?P<component>\w*load\w*): model size:\s+(?P<mib>\d+(?:\.\d+)?) MiB")
PROJECTOR_BACKEND = re.compile(r"CLIP using (?P<backend>\S+) backend")
PROJECTOR_COMPONENTS = ("alloc_compute_meta", "reserve_compute_meta", "warmup")

# Ollama starts a runner; whatever follows belongs to it. llama.cpp opens the file itself where nobody started it.
RUNNER_LINE = re.compile(r'msg="starting (?:llama-server|runner)" cmd=.*? --model (?P<path>.+?) --port ')
MODEL_LINE = re.compile(r"llama_model_loader: loaded meta data with .* tensors from (?P<path>.+) \(version")
CONTEXT_LINE = re.compile(r"llama_context: constructing llama_context")
RESERVE_LINE = re.compile(r"sched_reserve: reserving")
# From here to there llama-server only measures, without allocating.
FIT_BEGINS = re.compile(r"common_init_\w*: fitting params to device memory")
FIT_ENDS = re.compile(r"common_fit_params: (?:fitting params to free memory took|encountered an error)")
# Ollama v0.24 tries layouts out, which it logs for debugging, and says the last one as information.
LAYOUT_LINE = re.compile(
    r'level=INFO .*msg="(?P<word>model weights|kv cache|compute graph)" device="?(?P<backend>[^\s"]+)"? '
    r'size="(?P<size>[\d.]+) (?P<unit>[KMGT]?i?B)"'
)
PART_OF_LAYOUT = {"model weights": WEIGHTS, "kv cache": KV_CACHE, "compute graph": COMPUTE}
MIB_OF_UNIT = {"B": 2.0**-20, "KiB": 2.0**-10, "MiB": 1.0, "GiB": 1024.0, "TiB": 1024.0**2}
NUMBERS = {
    "parallel": re.compile(r"llama_context: n_seq_max\s+= (\d+)|Operation:commit .*Parallel:(\d+)"),
    "context_tokens": re.compile(r"llama_context: n_ctx\s+= (\d+)|Operation:commit .*KvSize:(\d+)"),
    "batch_tokens": re.compile(r"llama_context: n_batch\s+= (\d+)|Operation:commit .*BatchSize:(\d+)"),
    "ubatch_tokens": re.compile(r"llama_context: n_ubatch\s+= (\d+)|Operation:commit .*BatchSize:(\d+)"),
    # The second form is that of builds after b10488.
    "graph_splits": re.compile(r": graph splits = (\d+)|sched_reserve: graph: nodes = \d+, splits = (\d+)"),
    "offloaded_layers": re.compile(r"offloaded (\d+)/\d+ layers to GPU"),
    "layer_count": re.compile(r"offloaded \d+/(\d+) layers to GPU"),
}
FLASH_LINE = re.compile(
    r"llama_context: flash_attn\s+= (?P<set>enabled|disabled)|Flash Attention (?P<chosen>enabled|disabled)"
    r"|Flash Attention was auto, set to (?P<auto>enabled|disabled)|Operation:commit .*FlashAttention:(?P<asked>Enabled|Disabled)"
)
PROMPT_CACHE_LINE = re.compile(r"prompt cache is (?:enabled, size limit: (\d+) MiB|disabled)")


def load_reports(lines: Iterable[str]) -> list[LoadReport]:
    """The reports of all loads in a log, in the order in which they began; empty where there are none."""
    reader = _Reader()
    for line in lines:
        reader.read(line)
    return reader.finished()


def ollama_ps_mib(report: LoadReport) -> float:
    """What ``/api/ps`` shows as the size of this load, where nothing is offloaded.

    Up to v0.25 the layout. v0.33.0 keeps one figure for each function, backend and word (memoryParsingWriter of
    llm/llama_server.go): of several caches that print alike only the last counts, and the projector's weights not at all.
    """
    if report.layout:
        return sum(buffer.mib for buffer in report.layout)
    counted = [buffer for buffer in report.buffers if buffer.component and buffer.part != ADAPTER]
    last = {(buffer.component, buffer.backend, buffer.part): buffer.mib for buffer in counted}
    return sum(last.values())


class _Reader:
    """Goes through a log line by line and keeps the report it is in the middle of."""

    def __init__(self) -> None:
        self.done: list[LoadReport] = []
        self.report = LoadReport()
        self.fitting = False
        # Buffers before this one belong to a context that is complete.
        self.context_begins = 0
        self.projector_backend = "CPU"

    def finished(self) -> list[LoadReport]:
        self._open(None)
        return self.done

    def read(self, line: str) -> None:
        if FIT_BEGINS.search(line):
            self.fitting = True
        elif FIT_ENDS.search(line):
            self.fitting = False
        elif not self.fitting and not self._boundary(line) and not self._allocation(line):
            self.report = replace(self.report, **_facts(line))

    def _open(self, path: str | None) -> None:
        if self.report.account:
            self.done.append(self.report)
        self.report, self.context_begins = LoadReport(model_path=path), 0

    def _boundary(self, line: str) -> bool:
        """Whether the line begins a load, a context or a reservation."""
        runner, model = RUNNER_LINE.search(line), MODEL_LINE.search(line)
        if runner:
            self._open(runner["path"])
        elif model and (self.report.buffers or self.report.model_path != model["path"]):
            self._open(model["path"])
        elif CONTEXT_LINE.search(line):
            self.context_begins = len(self.report.buffers)
        elif RESERVE_LINE.search(line):
            self._forget_compute()
        else:
            return bool(model)
        return True

    def _forget_compute(self) -> None:
        whole, current = self.report.buffers[: self.context_begins], self.report.buffers[self.context_begins :]
        self.report = replace(self.report, buffers=(*whole, *(buffer for buffer in current if buffer.part != COMPUTE)))

    def _allocation(self, line: str) -> bool:
        """Whether the line tells of a buffer."""
        backend = PROJECTOR_BACKEND.search(line)
        if backend:
            self.projector_backend = backend["backend"]
        buffer, layout = _buffer(line, self.projector_backend), _layout(line)
        if buffer:
            self.report = replace(self.report, buffers=(*self.report.buffers, buffer))
        elif layout:
            self.report = replace(self.report, layout=(*self.report.layout, layout))
        return bool(buffer or layout)


def _buffer(line: str, projector_backend: str) -> Buffer | None:
    projector = PROJECTOR_LINE.search(line)
    if projector:
        return Buffer(PROJECTOR, "", projector_backend, float(projector["mib"]))
    found = BUFFER_LINE.search(line)
    if not found:
        return None
    part = STATE if found["word"].startswith("DSV4") else PART_OF_WORD[found["word"]]
    if part == COMPUTE and found["component"] in PROJECTOR_COMPONENTS:
        part = PROJECTOR
    return Buffer(part, found["component"], found["backend"], float(found["mib"]))


def _layout(line: str) -> Buffer | None:
    found = LAYOUT_LINE.search(line)
    if not found or found["unit"] not in MIB_OF_UNIT:
        return None
    return Buffer(PART_OF_LAYOUT[found["word"]], "layout", found["backend"], float(found["size"]) * MIB_OF_UNIT[found["unit"]])


def _facts(line: str) -> dict[str, Any]:
    """What else a line says of the load under way."""
    facts: dict[str, Any] = {}
    for name, pattern in NUMBERS.items():
        found = pattern.search(line)
        if found:
            facts[name] = int(next(group for group in found.groups() if group))
    flash = FLASH_LINE.search(line)
    if flash:
        facts["flash_attention"] = next(group for group in flash.groups() if group).lower() == "enabled"
    cache = PROMPT_CACHE_LINE.search(line)
    if cache:
        facts["prompt_cache_limit_mib"] = float(cache[1] or 0)
    return facts
