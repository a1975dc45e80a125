"""Predicted and real memory of a loaded model side by side, part by part and device by device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ..module_utils.engine_memory import COMPUTE, HOST, KV_CACHE, OUTPUT, PARTS, STATE, WEIGHTS, LoadReport

# How far a prediction may be off before it is called wrong: the larger of the two.
TOLERATED_SHARE = 0.02
TOLERATED_MIB = 8.0
# What Ollama up to v0.25 tells of a model that its own engine runs; states are among the caches.
LAYOUT_PARTS = (WEIGHTS, KV_CACHE, COMPUTE)
# An embedding model's output buffer is allocated for the texts that come, and no log tells it.
GROWING_PARTS = (OUTPUT,)

# Names of llama.cpp's buffers: pages of the file, and what was copied out of it into the order that the CPU likes.
MAPPED, REPACKED = "CPU_Mapped", "CPU_REPACK"

Parts = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class PartError:
    """One part of one device. An error above zero: more was predicted than was taken.

    ``grows``: it takes more with use. ``twice_mib``: so much of it may be told twice.
    """

    device: str
    part: str
    predicted_mib: float
    actual_mib: float
    grows: bool = False
    twice_mib: float = 0.0

    @property
    def error_mib(self) -> float:
        return self.predicted_mib - self.actual_mib

    @property
    def needed_mib(self) -> float:
        """What was taken without what may be told twice."""
        return self.actual_mib - self.twice_mib

    def agrees(self, share: float = TOLERATED_SHARE, mib: float = TOLERATED_MIB) -> bool:
        """Whether the error is at most a share of what was taken, or so many MiB, whichever is larger.

        What grows with use may be predicted to be larger than it is after the load.
        """
        excess_mib = 0.0 if self.grows else max(self.error_mib, 0.0)
        lack_mib = max(-self.error_mib - self.twice_mib, 0.0)
        return max(excess_mib, lack_mib) <= max(share * self.actual_mib, mib)

    def __str__(self) -> str:
        return f"{self.device} {self.part}: predicted {self.predicted_mib:.2f}, took {self.actual_mib:.2f} MiB"


def compare(predicted: Parts, report: LoadReport) -> tuple[PartError, ...]:
    """Every part that is predicted or was taken, on every device; what the engine does not tell is left out.

    ``predicted``: MiB as ``{"host": {"weights": 52.6, "kv_cache": 26.0, …}, "CUDA0": {…}}``, devices by the names of the
    engine's log. Parts that no log tells (overhead of the process, prompt cache) may stand among them.
    """
    told = PARTS if report.buffers else LAYOUT_PARTS
    errors = _errors(_as_told(predicted, report), report.parts_mib(), told)
    twice_mib = _mapped_twice_mib(report)
    return tuple(
        replace(error, twice_mib=twice_mib) if (error.device, error.part) == (HOST, WEIGHTS) else error for error in errors
    )


def _mapped_twice_mib(report: LoadReport) -> float:
    """Weights that the CPU keeps in another order, while the file's mapping still spans them: its pages may go."""
    of = {
        backend: sum(b.mib for b in report.buffers if (b.part, b.backend) == (WEIGHTS, backend)) for backend in (MAPPED, REPACKED)
    }
    return min(of.values())


def _as_told(predicted: Parts, report: LoadReport) -> Parts:
    if report.buffers:
        return predicted
    return {device: {**parts, KV_CACHE: parts.get(KV_CACHE, 0.0) + parts.get(STATE, 0.0)} for device, parts in predicted.items()}


def _errors(predicted: Parts, actual: Parts, told: tuple[str, ...]) -> Iterator[PartError]:
    for device in dict.fromkeys((*predicted, *actual)):
        wanted, taken = predicted.get(device, {}), actual.get(device, {})
        for part in told:
            if wanted.get(part) or taken.get(part):
                yield PartError(device, part, wanted.get(part, 0.0), taken.get(part, 0.0), grows=part in GROWING_PARTS)


def disagreements(errors: tuple[PartError, ...], share: float = TOLERATED_SHARE, mib: float = TOLERATED_MIB) -> list[str]:
    """The parts on which prediction and engine disagree, as sentences; empty where they agree."""
    return [str(error) for error in errors if not error.agrees(share, mib)]
