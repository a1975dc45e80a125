"""What a request asks of a runner once every default is filled in, and when a loaded runner does not answer to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .admission_rules import (
    DEFAULT_BATCH,
    DEFAULT_EMBEDDING_BATCH,
    SMALLEST_CONTEXT,
    SMALLEST_MULTIMODAL_CONTEXT,
    Rules,
    default_context,
    request_keep_alive_s,
)
from .admission_types import Candidate, EngineHost, FreeView, Measure, Request, ServerSettings

# server/sched.go resolveContextShift: below this context v0.30 shifts, later versions by family.
SMALL_CONTEXT_V0_30 = 8192
NO_SHIFT_FAMILIES = frozenset({"deepseek2"})


@dataclass(frozen=True)
class Setup:
    """What does not change during a replay. ``seen``: which of the two readings of free memory the engine works with."""

    host: EngineHost
    settings: ServerSettings
    rules: Rules
    seen: FreeView = "reported"
    measure: Measure | None = None

    def readings(self) -> tuple[Setup, ...]:
        """One setup per reading of free memory that is to be replayed; without devices both are the same."""
        if self.seen != "both":
            return (self,)
        reported = replace(self, seen="reported")
        return (reported, replace(self, seen="real")) if self.host.devices else (reported,)


@dataclass(frozen=True)
class Asked:
    """The runner options of one request, complete. ``*_auto``: nobody said so, the engine chose.

    ``num_ctx`` is what the engine compares; ``context_tokens`` what the runner gets per sequence.
    """

    num_ctx: int
    context_tokens: int
    context_auto: bool
    num_batch: int
    batch_auto: bool
    parallel: int
    num_gpu: int
    main_gpu: int | None
    use_mmap: bool | None
    use_mmap_auto: bool
    num_thread: int
    shift: bool
    keep_alive_s: float | None


def training_context(candidate: Candidate) -> int | None:
    return candidate.shape.context_length if candidate.shape else None


def clamped(num_ctx: int, candidate: Candidate) -> int:
    """The context that a runner really gets: never above the training context."""
    limit = training_context(candidate)
    return min(num_ctx, limit) if limit else num_ctx


def family(candidate: Candidate) -> str:
    return candidate.family or (candidate.shape.architecture if candidate.shape else "")


def parallel(setup: Setup, candidate: Candidate) -> int:
    """Sequences served at once: the server's number, one for embeddings and for families that cannot do more."""
    if candidate.is_embedding or family(candidate) in setup.rules.serial_families:
        return 1
    return max(setup.settings.num_parallel or 1, 1)


def asked(setup: Setup, candidate: Candidate, request: Request) -> Asked:
    """Request over Modelfile over server over the automatic tier; then the engine's own floors and limits."""
    given = request.options.over(candidate.options)
    server_context = setup.settings.context_length or None
    context_auto = given.num_ctx is None and server_context is None
    num_ctx = _context(setup, candidate, given.num_ctx if given.num_ctx is not None else server_context)
    num_batch, batch_auto = _batch(setup, candidate, given.num_batch, num_ctx)
    return Asked(
        num_ctx=num_ctx,
        context_tokens=clamped(num_ctx, candidate),
        context_auto=context_auto,
        num_batch=num_batch,
        batch_auto=batch_auto,
        parallel=parallel(setup, candidate),
        num_gpu=-1 if given.num_gpu is None else given.num_gpu,
        main_gpu=given.main_gpu,
        use_mmap=given.use_mmap,
        use_mmap_auto=False,
        num_thread=given.num_thread or 0,
        shift=_shift(setup, candidate, request, num_ctx),
        keep_alive_s=request_keep_alive_s(request.keep_alive),
    )


def _context(setup: Setup, candidate: Candidate, said: int | None) -> int:
    num_ctx = default_context(setup.host, setup.settings) if said is None else said
    return max(num_ctx, SMALLEST_MULTIMODAL_CONTEXT if candidate.is_multimodal else SMALLEST_CONTEXT)


def _batch(setup: Setup, candidate: Candidate, said: int | None, num_ctx: int) -> tuple[int, bool]:
    if said is not None:
        return said, False
    if setup.rules.family == "measured layout":
        return DEFAULT_BATCH, False
    if candidate.is_embedding:
        return min(DEFAULT_EMBEDDING_BATCH, num_ctx), False
    return DEFAULT_BATCH, True


def _shift(setup: Setup, candidate: Candidate, request: Request, num_ctx: int) -> bool:
    if setup.rules.family == "measured layout":
        return True
    if request.context_shift is not None:
        return request.context_shift
    if setup.rules.first == (0, 30, 0):
        return clamped(num_ctx, candidate) < SMALL_CONTEXT_V0_30
    return family(candidate) not in NO_SHIFT_FAMILIES


def reload_reason(setup: Setup, candidate: Candidate, loaded: Asked, new: Asked) -> str | None:
    """Why the engine restarts a loaded runner for this request, or None where it serves as it is (needsReload)."""
    wanted = _compared(setup, candidate, loaded, new)
    existing = replace(loaded, num_gpu=-1) if new.num_gpu < 0 else loaded
    differences = [
        f"{key} {_said(getattr(wanted, key))} is asked, {_said(getattr(existing, key))} is loaded"
        for key in ("num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "shift")
        if getattr(wanted, key) != getattr(existing, key)
    ]
    return "; ".join(differences) or None


def _compared(setup: Setup, candidate: Candidate, loaded: Asked, new: Asked) -> Asked:
    """The new options as needsReload compares them: what both sides left to the engine is no difference."""
    if setup.rules.family == "measured layout":
        return replace(new, main_gpu=new.main_gpu or 0)
    num_ctx = loaded.num_ctx if loaded.context_auto and new.context_auto else clamped(new.num_ctx, candidate)
    num_batch = loaded.num_batch if loaded.batch_auto and new.batch_auto else new.num_batch
    use_mmap = loaded.use_mmap if loaded.use_mmap_auto and new.use_mmap is None else new.use_mmap
    return replace(new, num_ctx=num_ctx, num_batch=num_batch, use_mmap=use_mmap)


def _said(value: object) -> str:
    return "unset" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
