# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the residency watchdog remembers from one run to the next, and what it concludes. Knows no clock, file or engine.

Moments are seconds since the epoch here, and ISO 8601 in UTC in what is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Mapping, Sequence

from .resident_loading import Outcome
from .resident_set import ORDERED, Expected, Finding, loaded_as, model_findings

# So many failed loads, or evictions, of one model in such a time, and it is left alone for a while: each further load would
# only push others out. The wait is doubled each time, and begins anew once the model has stayed that long.
WINDOW_S = 900.0
MOST = {"failed": 3, "evicted": 5}
WAIT_S = 300.0
WAIT_MOST_S = 3600.0
WAIT_LEVEL_MOST = 8
COUNTED = ("evictions", "losses", "loads", "load_failures")
Receipt = Mapping[str, Any]


@dataclass
class Record:
    """One model. ``loaded``: at the end of the last run; ``since``: that it is, without a gap that was seen.

    ``evictions``: gone while the engine went on; ``losses``: gone, and nobody knows why; ``loads``: by the watchdog.
    """

    loaded: bool = False
    since: float | None = None
    kinds: list[str] = field(default_factory=list)
    evictions: int = 0
    losses: int = 0
    loads: int = 0
    load_failures: int = 0
    strikes: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in MOST})
    wait_level: int = 0
    wait_until: float | None = None


@dataclass
class State:
    """All of it. ``up``, ``instance``: of the engine at the end of the last run, None where that is not known."""

    began: float
    up: bool | None = None
    instance: str | None = None
    restarts: int = 0
    runs: int = 0
    records: dict[str, Record] = field(default_factory=dict)
    last_events: list[dict[str, Any]] = field(default_factory=list)


def moment(seconds: float | None) -> str | None:
    """A moment as text, UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def seconds_of(text: Any) -> float | None:
    """The moment in a text of ours. Raises ValueError, TypeError, OverflowError."""
    if text is None:
        return None
    seconds = datetime.fromisoformat(text).timestamp()
    if seconds < 0:
        raise ValueError(f"got the moment {text!r}, expected one since 1970")
    return seconds


def wait_s(level: int) -> float:
    """How long a model is left alone when that happens so many times in a row, from 1 on."""
    return min(WAIT_S * 2.0 ** (level - 1), WAIT_MOST_S)


def event(now: float, kind: str, model: str | None, text: str) -> dict[str, Any]:
    """One thing that happened."""
    return {"at": moment(now), "kind": kind, "model": model, "text": text}


def restored(document: Mapping[str, Any] | None, expected: Sequence[Expected], now: float) -> State:
    """The state out of residency.json, for the models that are expected now. Raises ValueError where it is none of ours."""
    if document is None:
        return State(now, records={model.name: Record() for model in expected})
    try:
        records = {entry["name"]: _record(entry, now) for entry in document["models"]}
        counters, engine = document["counters"], document["engine"]
        state = State(_past(document["began_at"], now) or now, engine["up"], engine["instance"])
        state.restarts, state.runs = int(counters["engine_restarts"]), int(counters["runs"])
        state.records = {model.name: records.get(model.name) or Record() for model in expected}
        state.last_events = [dict(entry) for entry in document["last_events"]]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"not what the watchdog writes: {type(error).__name__} {error}") from error
    return state


def _record(entry: Mapping[str, Any], now: float) -> Record:
    level, until = max(0, min(int(entry["wait_level"]), WAIT_LEVEL_MOST)), seconds_of(entry["wait_until"])
    return Record(
        loaded=bool(entry["was_loaded"]),
        since=_past(entry["since"], now),
        kinds=[str(kind) for kind in entry["kinds"]],
        strikes={kind: [_past(at, now) or 0.0 for at in entry["strikes"][kind]] for kind in MOST},
        wait_level=level,
        # Longer than the wait itself can only be left by a clock that was ahead and was set right since.
        wait_until=until if until is not None and until <= now + wait_s(level) else None,
        **{name: int(entry[name]) for name in COUNTED},
    )


def _past(text: Any, now: float) -> float | None:
    """A moment that is over: by a clock that was ahead it may be written as one to come."""
    seconds = seconds_of(text)
    return None if seconds is None else min(seconds, now)


def observe(
    state: State, expected: Sequence[Expected], receipt: Receipt, instance: str | None, now: float
) -> list[dict[str, Any]]:
    """What has happened since the last run, by the engine's word before anything is done. Changes the state.

    ``instance``: differs after the engine was started again; None where that cannot be told.
    """
    state.runs += 1
    if receipt["error"] is not None:
        was, state.up = state.up, False
        return (
            []
            if was is False
            else [event(now, "engine_down", None, f"the engine does not answer: {receipt['error']['message']}")]
        )
    events = _engine_events(state, instance, now)
    again = any(item["kind"] == "engine_restarted" for item in events)
    known = state.instance is not None and instance is not None
    for model in expected:
        record = state.records[model.name]
        if record.loaded and not loaded_as(model, receipt):
            events.append(_lost(record, model.name, again, known, now))
        events += _changes(record, model, receipt, now)
        _note(record, model, receipt, now)
    state.up, state.instance = True, instance
    return events


def _engine_events(state: State, instance: str | None, now: float) -> list[dict[str, Any]]:
    other = bool(state.instance and instance and state.instance != instance)
    untold = state.up is False and not (state.instance and instance)
    if other or untold:
        state.restarts += 1
        return [event(now, "engine_restarted", None, "the engine was started again: what it had loaded is gone")]
    return [event(now, "engine_back", None, "the engine answers again")] if state.up is False else []


def _lost(record: Record, name: str, again: bool, known: bool, now: float) -> dict[str, Any]:
    if again:
        return event(now, "gone", name, "is gone with the engine that was started again")
    record.strikes["evicted"].append(now)
    if known:
        record.evictions += 1
        return event(now, "evicted", name, "was evicted, or unloaded by a client: the engine went on without it")
    record.losses += 1
    return event(now, "gone", name, "is gone; whether the engine was started again is not known")


def _changes(record: Record, model: Expected, receipt: Receipt, now: float) -> list[dict[str, Any]]:
    """What is wrong now and was not at the end of the last run; that it is missing is told otherwise."""
    found = [finding for finding in model_findings(model, receipt) if finding.kind not in ("missing", *record.kinds)]
    return [event(now, finding.kind, model.name, finding.text) for finding in found]


def _note(record: Record, model: Expected, receipt: Receipt, now: float) -> None:
    """Remember how a model is, so that the next run tells what is new by then."""
    record.loaded = bool(loaded_as(model, receipt))
    record.since = (record.since or now) if record.loaded else None
    record.kinds = [finding.kind for finding in model_findings(model, receipt)]


def waiting(state: State, now: float) -> frozenset[str]:
    """Models that are left alone in this run."""
    return frozenset(name for name, record in state.records.items() if record.wait_until is not None and now < record.wait_until)


def settle(state: State, expected: Sequence[Expected], outcome: Outcome, now: float) -> list[dict[str, Any]]:
    """What was done and what came of it. Changes the state."""
    events = [event(now, kind, name, text) for kind, name, text in outcome.steps]
    if outcome.receipt["error"] is not None:
        lost, state.up = state.up, False
        return [*events, event(now, "engine_down", None, "the engine was lost while models were loaded")] if lost else events
    for model in expected:
        record = state.records[model.name]
        kinds = [kind for kind, name, _text in outcome.steps if name == model.name]
        record.loads += kinds.count("loaded")
        record.load_failures += kinds.count("load_failed")
        _note(record, model, outcome.receipt, now)
        if kinds and (ORDERED.intersection(record.kinds) or "load_failed" in kinds):
            record.strikes["failed"].append(now)
        events += _patience(record, model.name, now)
    return events


def _patience(record: Record, name: str, now: float) -> list[dict[str, Any]]:
    """Whether a model is to be left alone for a while from now on."""
    record.strikes = {kind: [at for at in times if now - WINDOW_S < at <= now] for kind, times in record.strikes.items()}
    if record.wait_until is not None and now >= record.wait_until:
        record.wait_until = None
    if record.since is not None and now - record.since >= WINDOW_S and not any(record.strikes.values()):
        record.wait_level, record.wait_until = 0, None
    over = [kind for kind, most in MOST.items() if len(record.strikes[kind]) >= most]
    if not over or record.wait_until is not None:
        return []
    why = " and ".join(f"{kind} {len(record.strikes[kind])} times" for kind in over)
    record.wait_level = min(record.wait_level + 1, WAIT_LEVEL_MOST)
    record.wait_until = now + wait_s(record.wait_level)
    record.strikes = {kind: [] for kind in MOST}
    text = f"{why} within {WINDOW_S / 60:g} minutes: the next attempt is at {moment(record.wait_until)}"
    return [event(now, "waits", name, text)]


def still_waiting(record: Record, finding: Finding, now: float) -> str:
    """The sentence of a finding, with the wait where there is one."""
    waits = record.wait_until is not None and now < record.wait_until
    return f"{finding}; left alone until {moment(record.wait_until)}" if waits else str(finding)
