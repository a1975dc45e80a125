"""One load by the rules of Ollama 0.30 and later: predicted size against 80 % of free memory, then llama-server's own fit.

The check is skipped for the first model, for one whose num_gpu offloads only some layers, and where no device is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .admission_memory import Attempt, Runner, State, footprint, ram_free, seen_devices
from .admission_options import Asked, Setup
from .admission_placement import Allocation, Choice, allocate, available, available_together, choose
from .admission_prediction import FREE_PERCENT, Prediction, all_tokens, server_prediction, surcharge_bytes, with_automatic_batch
from .admission_rules import flash_attention, kv_type_refusal, mib_text, server_keep_alive_s
from .admission_types import MIB, Candidate, Event


@dataclass(frozen=True)
class _Load:
    """A load in the making: what is asked with its batch, what is predicted, where it goes, what counts as free there."""

    candidate: Candidate
    wish: Asked
    prediction: Prediction
    choice: Choice
    free_bytes: int
    flash: bool

    @property
    def predicted_bytes(self) -> int:
        return self.prediction.total_bytes + surcharge_bytes(self.candidate, self.wish.num_batch)


def attempt(setup: Setup, state: State, candidate: Candidate, wish: Asked) -> Attempt:
    """What comes of loading this model now: a runner, an eviction first, out of memory, or a refusal."""
    load = _prepare(setup, state, candidate, wish)
    refusal = load.choice.refusal or kv_type_refusal(setup.rules, setup.settings, load.flash)
    if refusal:
        return Attempt("refused", "llama-server does not start", f"{candidate.name} is refused: {refusal}.", {})
    check = _check(load, state)
    if check.kind == "evict":
        return check
    return _place(setup, state, load, check)


def _prepare(setup: Setup, state: State, candidate: Candidate, wish: Asked) -> _Load:
    prediction = server_prediction(candidate, all_tokens(wish))
    choice = choose(setup, state, seen_devices(setup, state), prediction.total_bytes, wish)
    free = _free(setup, state, choice, wish)
    flash = flash_attention(setup.rules, setup.settings, tuple(seen.device for seen in choice.devices))
    chosen = with_automatic_batch(candidate, wish, prediction.total_bytes, free, flash, choice.devices)
    return _Load(candidate, _with_mmap(chosen, candidate, prediction, choice, free), prediction, choice, free, flash)


def _free(setup: Setup, state: State, choice: Choice, wish: Asked) -> int:
    if len(choice.devices) == 1 and wish.main_gpu is not None:
        return available(setup, state, choice.devices[0])
    return available_together(setup, state, choice.devices)


def _with_mmap(wish: Asked, candidate: Candidate, prediction: Prediction, choice: Choice, free: int) -> Asked:
    """The engine's own choice against mmap, which later requests are not held against (disableMmapDefaultReason)."""
    if wish.use_mmap is not None:
        return wish
    metal = any(seen.device.library == "metal" for seen in choice.devices)
    squeezed = wish.num_gpu < 0 and 0 < free < prediction.total_bytes
    if not choice.devices or (metal and (squeezed or is_partial(candidate, wish))):
        return replace(wish, use_mmap=False, use_mmap_auto=True)
    return replace(wish, use_mmap_auto=True)


def is_partial(candidate: Candidate, wish: Asked) -> bool:
    """Does ``num_gpu`` say that only some layers are offloaded? Such a load is not checked."""
    return candidate.shape is not None and 0 < wish.num_gpu < candidate.shape.block_count + 1


def _check(load: _Load, state: State) -> Attempt:
    name, predicted, free = load.candidate.name, load.predicted_bytes, load.free_bytes
    limit = free * FREE_PERCENT // 100
    numbers = {"predicted_mib": predicted / MIB, "free_mib": free / MIB, "limit_mib": limit / MIB}
    skipped = _unchecked(load, state)
    if skipped:
        return Attempt("loads", f"no check: {skipped}", f"no check is made, because {skipped}", numbers)
    extra = predicted - load.prediction.total_bytes
    terms = load.prediction.terms + (f" + {mib_text(extra)} for batch {load.wish.num_batch}" if extra else "")
    where = " + ".join(load.choice.names)
    compared = f"{FREE_PERCENT} % of the {mib_text(free)} that look free on {where}, {mib_text(limit)}"
    if predicted > limit:
        return Attempt(
            "evict", "80 % of free memory", f"{name} is predicted at {mib_text(predicted)} ({terms}), over {compared}", numbers
        )
    return Attempt("loads", "80 % of free memory", f"predicted at {mib_text(predicted)} ({terms}), within {compared}", numbers)


def _unchecked(load: _Load, state: State) -> str | None:
    if not load.choice.devices:
        return "it uses no accelerator"
    if not state.runners:
        return "nothing else is loaded"
    if is_partial(load.candidate, load.wish):
        return f"num_gpu {load.wish.num_gpu} offloads only some layers"
    return None


def _place(setup: Setup, state: State, load: _Load, check: Attempt) -> Attempt:
    taken, basis = footprint(setup, load.candidate, load.prediction, load.wish, len(load.choice.devices), load.flash)
    where = allocate(setup, state, load.choice, load.candidate, load.wish, taken)
    if where.missing_bytes:
        sentence = (
            f"{load.candidate.name} lacks {mib_text(where.missing_bytes)} on {' + '.join(load.choice.names)}: out of memory"
        )
        return Attempt("out_of_memory", "out of memory", sentence, {"missing_mib": where.missing_bytes / MIB})
    loaded = replace(load.wish, num_ctx=load.wish.context_tokens)
    keep = server_keep_alive_s(setup.settings) if loaded.keep_alive_s is None else loaded.keep_alive_s
    runner = Runner(load.candidate, loaded, keep, load.prediction, where.placement, where.shares, where.host_bytes, basis)
    also = tuple(_trouble(setup, state, load, where, basis))
    return Attempt("loads", check.rule, check.sentence, check.numbers, runner, also)


def _trouble(setup: Setup, state: State, load: _Load, where: Allocation, basis: str) -> Sequence[Event]:
    name, numbers = load.candidate.name, {"spilled_mib": where.spilled_bytes / MIB}
    if where.spilled_bytes:
        sentence = (
            f"{mib_text(where.spilled_bytes)} of {name} stay in RAM, without an error: llama-server keeps its margin free "
            f"on {' + '.join(load.choice.names)} (real size: {basis})."
        )
        return [Event("spills", name, "llama-server's fit", sentence, load.choice.names, where.placement, numbers)]
    return overcommitted(setup, state, name, where.host_bytes) if where.placement == "cpu" else []


def overcommitted(setup: Setup, state: State, name: str, wanted: int) -> Sequence[Event]:
    """The warning that nothing checks RAM, where a load on the CPU takes more of it than there is."""
    ram = ram_free(state, setup.host)
    if ram is None or wanted <= ram:
        return []
    asked_for = f"{name} takes {mib_text(wanted)} of the {mib_text(ram)} of RAM that are left"
    sentence = f"{asked_for}, and the engine does not check it: the system kills something."
    numbers = {"wanted_mib": wanted / MIB, "free_mib": ram / MIB}
    return [Event("overcommits", name, "no check of RAM", sentence, (), "cpu", numbers)]
