"""The scheduler, request by request: what is loaded, reused, restarted, thrown out, and by which rule (server/sched.go).

One request at a time, each finished before the next unless it says ``busy``: residents are loaded that way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from . import admission_eighty, admission_measured
from .admission_memory import Attempt, Runner, State
from .admission_options import Asked, Setup, asked, reload_reason
from .admission_rules import lower_tier, most_loaded
from .admission_types import FOREVER_S, Candidate, Event, Request


def serve(setup: Setup, state: State, candidate: Candidate, request: Request) -> State:
    """The state after one request, with everything that had to happen for it among its events."""
    wish = asked(setup, candidate, request)
    runner = state.runner(candidate.blob)
    if request.empty and wish.keep_alive_s == 0 and not candidate.is_embedding:
        return _finish(state.having(replace(runner, keep_alive_s=0.0)), candidate) if runner else state
    if runner is not None:
        reason = reload_reason(setup, candidate, runner.asked, wish)
        if reason is None:
            return _finish(_reuse(state, runner, candidate, wish, request), candidate)
        state = _restart(state, runner, candidate, wish, reason)
    return _finish(_load(setup, state, candidate, wish, request), candidate)


def _reuse(state: State, runner: Runner, candidate: Candidate, wish: Asked, request: Request) -> State:
    keep = runner.keep_alive_s if wish.keep_alive_s is None else wish.keep_alive_s
    other = runner.candidate.name != candidate.name
    shared = f"uses the runner of {runner.candidate.name}, whose blob it shares" if other else "is loaded as it is asked for"
    event = Event("reuses", candidate.name, "loaded runner", f"{candidate.name} {shared}.", runner.devices, runner.placement)
    return state.having(replace(runner, keep_alive_s=keep, busy=runner.busy or request.busy)).saying(event)


def _restart(state: State, runner: Runner, candidate: Candidate, wish: Asked, reason: str) -> State:
    other = runner.candidate.name != candidate.name
    who = (
        f"{candidate.name} restarts the runner of {runner.candidate.name}, whose blob it shares"
        if other
        else f"{candidate.name} restarts"
    )
    lost = runner.keep_alive_s == FOREVER_S and wish.keep_alive_s is None
    kept = " A keep-alive that only the load had asked for is lost." if lost else ""
    event = Event(
        "reloads", runner.candidate.name, "changed options", f"{who}: {reason}.{kept}", runner.devices, runner.placement
    )
    return state.without(candidate.blob).saying(event)


def _load(setup: Setup, state: State, candidate: Candidate, wish: Asked, request: Request) -> State:
    """Evict and try again until the model is loaded or refused; one out-of-memory error is forgiven."""
    limit, retried = most_loaded(setup.host, setup.settings), False
    while True:
        if len(state.runners) >= limit:
            sentence = f"{len(state.runners)} models are loaded and OLLAMA_MAX_LOADED_MODELS{_default(setup)} allows {limit}"
            state = _evict(state, candidate, "count cap", sentence, {"loaded": len(state.runners), "limit": limit})
            continue
        result = _attempt(setup, state, candidate, wish)
        if result.kind == "evict":
            state = _evict(state, candidate, result.rule, result.sentence, result.numbers)
        elif result.kind == "out_of_memory" and not retried and (state.runners or _lower(wish)):
            retried = True
            wish, state = _after_out_of_memory(state, candidate, wish, result)
        elif result.runner is None:
            return state.saying(_refusal(candidate, result))
        else:
            runner = replace(result.runner, busy=request.busy)
            return state.having(runner).saying(_loaded(candidate, runner, result), *result.also)


def _attempt(setup: Setup, state: State, candidate: Candidate, wish: Asked) -> Attempt:
    if setup.rules.family == "measured layout":
        return admission_measured.attempt(setup, state, candidate, wish)
    return admission_eighty.attempt(setup, state, candidate, wish)


def _default(setup: Setup) -> str:
    return "" if setup.settings.max_loaded_models else " (unset: 3 for each accelerator, in total)"


def victim(runners: Sequence[Runner]) -> Runner:
    """Who goes first: the shortest keep-alive, then the alphabet of blob digests, idle ones before busy ones."""
    return min(runners, key=lambda runner: (runner.busy, runner.keep_alive_s, runner.candidate.blob))


def _evict(state: State, candidate: Candidate, rule: str, sentence: str, numbers: Mapping[str, float]) -> State:
    leaving = victim(state.runners)
    name = leaving.candidate.name
    waits = " once its answer is finished" if leaving.busy else ""
    text = f"{name} is evicted for {candidate.name}{waits}: {sentence}."
    return state.without(leaving.candidate.blob).saying(
        Event("evicts", name, rule, text, leaving.devices, leaving.placement, numbers)
    )


def _lower(wish: Asked) -> int | None:
    return lower_tier(wish.context_tokens) if wish.context_auto else None


def _after_out_of_memory(state: State, candidate: Candidate, wish: Asked, result: Attempt) -> tuple[Asked, State]:
    """Everybody else goes, and an automatic context takes the next lower tier (evictAllAndWait)."""
    state = state.saying(Event("out_of_memory", candidate.name, result.rule, f"{result.sentence}.", numbers=result.numbers))
    lower = _lower(wish)
    if lower is not None and lower < wish.num_ctx:
        sentence = f"{candidate.name} is tried again with an automatic context of {lower:,} instead of {wish.context_tokens:,}."
        state = state.saying(
            Event("lowers_context", candidate.name, "automatic context", sentence, numbers={"context_tokens": lower})
        )
        wish = replace(wish, num_ctx=lower, context_tokens=lower)
    while state.runners:
        state = _evict(state, candidate, "out of memory", result.sentence, result.numbers)
    return wish, state


def _refusal(candidate: Candidate, result: Attempt) -> Event:
    sentence = result.sentence if result.kind == "refused" else f"{candidate.name} is refused: {result.sentence}."
    return Event("refused", candidate.name, result.rule, sentence, numbers=result.numbers)


PLACES = {"whole": "whole on", "split": "split over", "partial": "partly on", "cpu": "in RAM"}


def _loaded(candidate: Candidate, runner: Runner, result: Attempt) -> Event:
    where = f"{PLACES[runner.placement]} {' + '.join(runner.devices)}".strip()
    sentence = f"{candidate.name} is loaded {where}: {result.sentence}."
    return Event("loads", candidate.name, result.rule, sentence, runner.devices, runner.placement, result.numbers)


def _finish(state: State, candidate: Candidate) -> State:
    """A runner whose keep-alive is zero leaves as soon as it is idle."""
    runner = state.runner(candidate.blob)
    if runner is None or runner.busy or runner.keep_alive_s > 0:
        return state
    name = runner.candidate.name
    event = Event(
        "unloads", name, "keep-alive of 0", f"{name} is unloaded: its keep-alive is 0.", runner.devices, runner.placement
    )
    return state.without(candidate.blob).saying(event)
