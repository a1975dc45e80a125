"""Which version of Ollama schedules by which rules, and what its settings mean.

Read in the sources named by ``read_at``: server/sched.go, server/routes.go, llm/server.go, llm/llama_server.go,
ml/device.go and envconfig/config.go. Rules are not guessed: a version older than the first that was read has none, a
newer one is replayed by the newest and the replay says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ..module_utils.memory_settings import ONE_SEQUENCE
from .admission_types import FOREVER_S, MIB, Accelerator, EngineHost, ServerSettings, bytes_of

GIB = 2**30
WORD = 2**64

# server/sched.go defaultModelsPerGPU: per device, but counted over all of them.
MODELS_PER_DEVICE = 3
# envconfig/config.go KeepAlive.
DEFAULT_KEEP_ALIVE_S = 300.0
# server/routes.go Serve: least memory of all devices together, and the default context from there on.
CONTEXT_TIERS = ((47 * GIB, 262144), (23 * GIB, 32768), (0, 4096))
# server/sched.go getRunner.
SMALLEST_CONTEXT = 4
SMALLEST_MULTIMODAL_CONTEXT = 2048
# api/types.go DefaultOptions.
DEFAULT_BATCH = 512
# llm/llama_server.go DefaultEmbeddingNumBatch.
DEFAULT_EMBEDDING_BATCH = 2048
# llama.cpp common/common.h fit_params_target.
DEFAULT_FIT_TARGET_MIB = 1024.0
# ml/device.go MinimumMemory.
MINIMUM_MEMORY_MIB = {"metal": 512.0}
OTHER_MINIMUM_MEMORY_MIB = 457.0
# llama.cpp common/arg.cpp kv_cache_types.
KV_CACHE_TYPES = frozenset({"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"})
UNQUANTISED = frozenset({"f32", "f16", "bf16"})

# server/sched.go load: families that never serve two requests at once.
_SERIAL_0_24 = ONE_SEQUENCE
_SERIAL_0_20 = _SERIAL_0_24 - {"nemotron_h_omni"}
_SERIAL_0_15 = _SERIAL_0_20 - {"qwen35", "qwen35moe", "nemotron_h", "nemotron_h_moe"}

# How Ollama says its version: a release, a candidate, or what git describes of a build between two.
VERSION = re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+)(?:-[0-9A-Za-z]+)*")


@dataclass(frozen=True)
class Rules:
    """The scheduler of a range of versions: ``first`` <= version < ``end``.

    ``family``: "measured layout" lays out layers by measured sizes, "eighty percent" compares a crude prediction with
    80 % of free memory and leaves the layers to llama-server. ``flash_attention_from``: least CUDA compute capability.
    """

    family: Literal["measured layout", "eighty percent"]
    first: tuple[int, int, int]
    end: tuple[int, int, int] | None
    read_at: tuple[str, ...]
    serial_families: frozenset[str]
    flash_attention_from: int

    @property
    def name(self) -> str:
        return f"{self.family} (read in {', '.join(self.read_at)})"


TABLES = (
    Rules("measured layout", (0, 15, 5), (0, 20, 0), ("v0.15.5",), _SERIAL_0_15, 0),
    Rules("measured layout", (0, 20, 0), (0, 24, 0), ("v0.20.0",), _SERIAL_0_20, 0),
    Rules("measured layout", (0, 24, 0), (0, 30, 0), ("v0.24.0",), _SERIAL_0_24, 0),
    Rules("eighty percent", (0, 30, 0), (0, 32, 0), ("v0.30.0", "v0.31.0"), _SERIAL_0_24, 7),
    Rules("eighty percent", (0, 32, 0), None, ("v0.32.0", "v0.32.15", "v0.33.0", "v0.34.1"), _SERIAL_0_24, 6),
)


def version_of(text: str) -> tuple[int, int, int] | None:
    """``v0.33.0-rc2`` -> (0, 33, 0); None for what is no version, and for 0.0.0, which a build without a version says."""
    match = VERSION.fullmatch(text.strip().removeprefix("v"))
    if match is None:
        return None
    major, minor, patch = (int(part) for part in match.groups())
    return (major, minor, patch) if (major, minor, patch) > (0, 0, 0) else None


def rules_for(text: str) -> tuple[Rules | None, str | None]:
    """The rules of a version, and what must be said about them (None: nothing)."""
    version = version_of(text)
    if version is None:
        return None, f"got the engine version {text!r}; expected one such as 0.33.0: its scheduler cannot be replayed"
    if version < TABLES[0].first:
        oldest = _dotted(TABLES[0].first)
        return None, f"the scheduler of Ollama {text} is not known (read from {oldest} on): use a newer version"
    newest = version_of(TABLES[-1].read_at[-1])
    rules = next(table for table in reversed(TABLES) if version >= table.first)
    if newest is not None and version > newest:
        return (
            rules,
            f"Ollama {text} is newer than {_dotted(newest)}, the newest whose scheduler was read: replayed by that one's rules",
        )
    return rules, None


def _dotted(version: tuple[int, int, int]) -> str:
    return ".".join(str(part) for part in version)


def default_context(host: EngineHost, settings: ServerSettings) -> int:
    """The context of a model that nobody gave one: a tier by the memory of all devices together.

    The engine subtracts OLLAMA_GPU_OVERHEAD from each device in unsigned arithmetic, so that more overhead than memory
    wraps around and gives the largest tier.
    """
    overhead = bytes_of(settings.gpu_overhead_mib or 0.0)
    total = sum(device.total_bytes - overhead for device in host.devices) % WORD
    return next(context for least, context in CONTEXT_TIERS if total >= least)


def lower_tier(context_tokens: int) -> int | None:
    """The next smaller automatic context after an out-of-memory load (server/sched.go nextLowerAutoNumCtx)."""
    return next((tier for _memory, tier in CONTEXT_TIERS[1:] if context_tokens > tier), None)


def most_loaded(host: EngineHost, settings: ServerSettings) -> int:
    """How many models may be loaded at once."""
    return settings.max_loaded_models or MODELS_PER_DEVICE * max(len(host.devices), 1)


def minimum_memory(device: Accelerator) -> int:
    """Bytes that the engine sets aside on a device for its driver's structures."""
    return bytes_of(MINIMUM_MEMORY_MIB.get(device.library, OTHER_MINIMUM_MEMORY_MIB))


def server_keep_alive_s(settings: ServerSettings) -> float:
    """Seconds that an idle model stays, by OLLAMA_KEEP_ALIVE; what the engine cannot read is its default."""
    if settings.keep_alive is None or settings.keep_alive == "":
        return DEFAULT_KEEP_ALIVE_S
    text = str(settings.keep_alive)
    seconds = float(text) if re.fullmatch(r"[+-]?\d+", text) else go_duration_s(text)
    if seconds is None:
        return DEFAULT_KEEP_ALIVE_S
    return FOREVER_S if seconds < 0 else seconds


def request_keep_alive_s(value: str | float | None) -> float | None:
    """Seconds of a request's ``keep_alive``: a number, or text with a unit; negative is forever, None is not given.

    Raises ValueError for text that the engine answers with an error.
    """
    if value is None:
        return None
    seconds = go_duration_s(value) if isinstance(value, str) else float(value)
    if seconds is None:
        raise ValueError(f'got keep_alive {value!r}; expected seconds as a number, or text with a unit such as "5m", "-1s"')
    return FOREVER_S if seconds < 0 else seconds


UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def go_duration_s(text: str) -> float | None:
    """Seconds of a Go duration (``1h30m``, ``-5m``, ``0``); None for what is none."""
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    if not re.fullmatch(r"((\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h))+", rest):
        return None
    return sign * sum(float(number) * UNIT_S[unit] for number, unit in re.findall(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)", rest))


def flash_attention(rules: Rules, settings: ServerSettings, devices: tuple[Accelerator, ...]) -> bool:
    """Will llama-server be allowed flash attention (on, or auto)?"""
    if settings.flash_attention is not None:
        return settings.flash_attention
    return all(_supports_flash_attention(rules, device) for device in devices)


def _supports_flash_attention(rules: Rules, device: Accelerator) -> bool:
    if device.library != "cuda" or device.compute_capability is None:
        return True
    return device.compute_capability[0] >= rules.flash_attention_from and device.compute_capability != (7, 2)


def kv_type_refusal(rules: Rules, settings: ServerSettings, flash: bool) -> str | None:
    """Why llama-server would not start with this OLLAMA_KV_CACHE_TYPE, or None."""
    kind = (settings.kv_cache_type or "f16").lower()
    if rules.family == "measured layout":
        return None
    if kind not in KV_CACHE_TYPES:
        return (
            f"OLLAMA_KV_CACHE_TYPE={settings.kv_cache_type} is passed on unchecked and llama-server refuses it: every load fails"
        )
    if kind not in UNQUANTISED and not flash:
        return f"a KV cache of type {kind} needs flash attention, which is off here: every load fails"
    return None


def mib_text(size: float) -> str:
    """Bytes as a person reads them: ``9,310 MiB``."""
    return f"{size / MIB:,.0f} MiB"
