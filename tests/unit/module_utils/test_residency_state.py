"""What the watchdog concludes from one run to the next."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.module_utils.residency_receipt import receipt_document
from plugins.module_utils.residency_state import (
    MOST,
    WAIT_LEVEL_MOST,
    WAIT_MOST_S,
    WAIT_S,
    WINDOW_S,
    State,
    moment,
    observe,
    restored,
    settle,
    waiting,
)
from plugins.module_utils.resident_loading import Outcome, reach
from tests.unit.residencies import SOON, ThoughtEngine, loaded, wanted

NOW = 1795293700.0
STEP_S = 30.0
EXPECTED = wanted("a", "b")


class Watched:
    """A watchdog without files over an engine that is only thought of: one call, one run."""

    def __init__(self, engine: ThoughtEngine | None = None) -> None:
        self.engine = engine or ThoughtEngine()
        self.document: dict[str, Any] | None = None
        self.now, self.instance = NOW, "life-1"

    def run(self, instance: str | None = "same", after_s: float = STEP_S) -> list[str]:
        """Kinds of what happened, with the model's name."""
        self.instance = self.instance if instance == "same" else instance  # type: ignore[assignment]
        self.now += after_s
        state = restored(self.document, EXPECTED, self.now)
        receipt = self.engine.look()
        events = observe(state, EXPECTED, receipt, self.instance, self.now)
        outcome: Outcome = reach(self.engine, EXPECTED, receipt, waiting(state, self.now))
        events += settle(state, EXPECTED, outcome, self.now)
        self.state: State = state
        self.document = receipt_document(state, EXPECTED, outcome, "http://engine", self.now)
        return [f"{item['kind']} {item['model']}" if item["model"] else str(item["kind"]) for item in events]

    def model(self, name: str) -> dict[str, Any]:
        assert self.document is not None
        return next(item for item in self.document["models"] if item["name"] == name)


def test_the_first_run_loads_and_the_next_ones_do_nothing() -> None:
    watched = Watched()
    assert watched.run() == ["loaded a", "loaded b"]
    since = watched.model("a")["since"]
    assert watched.run() == []
    assert (watched.model("a")["since"], watched.model("a")["resident"], watched.model("a")["loads"]) == (since, True, 1)


def test_an_eviction_is_told_and_counted() -> None:
    watched = Watched()
    watched.run()
    del watched.engine.models["a"]
    assert watched.run() == ["evicted a", "loaded a"]
    assert [watched.model("a")[key] for key in ("evictions", "losses", "loads")] == [1, 0, 2]
    assert watched.document is not None
    assert watched.document["counters"]["engine_restarts"] == 0


def test_a_restart_is_no_eviction() -> None:
    watched = Watched()
    watched.run()
    watched.engine.models.clear()
    assert watched.run("life-2") == ["engine_restarted", "gone a", "gone b", "loaded a", "loaded b"]
    assert watched.document is not None
    assert (watched.document["counters"]["engine_restarts"], watched.document["counters"]["evictions"]) == (1, 0)
    assert watched.model("a")["strikes"] == {"failed": [], "evicted": []}


def test_where_nothing_tells_a_restart_the_loss_has_no_reason() -> None:
    watched = Watched()
    watched.run(None)
    del watched.engine.models["a"]
    assert watched.run(None) == ["gone a", "loaded a"]
    assert [watched.model("a")[key] for key in ("evictions", "losses")] == [0, 1]


@pytest.mark.parametrize(
    ("instance", "expected"), [("life-2", "engine_restarted"), (None, "engine_restarted"), ("same", "engine_back")]
)
def test_a_dead_engine_is_told_once_and_then_that_it_is_back(instance: str | None, expected: str) -> None:
    watched = Watched()
    watched.run(instance if instance is None else "same")
    watched.engine.dead = True
    assert watched.run() == ["engine_down"]
    assert watched.run() == []
    assert (watched.model("a")["resident"], watched.model("a")["loaded"]) == (None, None)
    watched.engine.dead = False
    assert watched.run(instance)[0] == expected


@pytest.mark.parametrize(("changes", "kinds"), [({"context_tokens": 1}, ["context a"]), ({"expires_at": SOON}, ["keep_alive a"])])
def test_what_a_client_changed_is_told_and_put_right(changes: dict[str, Any], kinds: list[str]) -> None:
    watched = Watched()
    watched.run()
    watched.engine.models["a"] = loaded("a", **changes)
    assert watched.run() == [*kinds, "loaded a"]
    assert watched.run() == []


def test_after_some_failures_it_waits_longer_and_longer() -> None:
    watched = Watched(ThoughtEngine(broken=("a",)))
    for _number in range(MOST["failed"] - 1):
        assert "load_failed a" in watched.run()
    assert watched.run()[-1] == "waits a"
    assert watched.run() == []
    assert "left alone until" in watched.model("a")["findings"][0]
    assert watched.model("a")["load_failures"] == MOST["failed"]
    assert watched.run(after_s=WAIT_S) == ["load_failed a"]
    waits = []
    while len(waits) < 5:
        if "waits a" in watched.run(after_s=STEP_S):
            record = watched.state.records["a"]
            assert record.wait_until is not None
            waits.append(record.wait_until - watched.now)
            watched.now = record.wait_until
    assert waits == [2 * WAIT_S, 4 * WAIT_S, 8 * WAIT_S, WAIT_MOST_S, WAIT_MOST_S]


def test_a_model_that_is_evicted_again_and_again_is_left_alone() -> None:
    watched = Watched()
    watched.run()
    kinds: list[str] = []
    for _number in range(MOST["evicted"]):
        del watched.engine.models["b"]
        kinds = watched.run()
    assert kinds == ["evicted b", "loaded b", "waits b"]
    del watched.engine.models["b"]
    assert watched.run() == ["evicted b"]
    assert watched.run(after_s=WAIT_S) == ["loaded b"]


def test_a_model_that_stays_begins_anew() -> None:
    watched = Watched(ThoughtEngine(broken=("a",)))
    for _number in range(MOST["failed"]):
        watched.run()
    assert watched.model("a")["wait_level"] == 1
    watched.engine.broken = ()
    watched.run(after_s=WAIT_S)
    watched.run(after_s=WINDOW_S)
    assert (watched.model("a")["wait_level"], watched.model("a")["wait_until"]) == (0, None)


@pytest.mark.parametrize("ahead_s", [WAIT_S / 2, 2 * WAIT_S, WAIT_MOST_S, 400 * 86400.0])
def test_a_clock_that_was_ahead_keeps_no_model_away(ahead_s: float) -> None:
    watched = Watched(ThoughtEngine(broken=("a",)))
    watched.now += ahead_s
    while "waits a" not in watched.run():
        pass
    watched.engine.broken = ()
    watched.now -= ahead_s
    assert watched.run() == ["loaded a"]
    state = restored(watched.document, EXPECTED, watched.now)
    assert (state.began <= watched.now, state.records["b"].since) == (True, watched.now)


def test_a_model_that_stayed_while_it_was_left_alone_begins_anew() -> None:
    watched = Watched(ThoughtEngine(broken=("a",)))
    for _number in range(MOST["failed"]):
        watched.run()
    record = watched.state.records["a"]
    record.wait_level, record.wait_until = WAIT_LEVEL_MOST, watched.now + WAIT_MOST_S
    watched.document = receipt_document(watched.state, EXPECTED, Outcome(watched.engine.look()), "", watched.now)
    watched.engine.models["a"], watched.engine.broken = loaded("a"), ()
    assert [watched.run(), watched.run(after_s=WINDOW_S)] == [[], []]
    del watched.engine.models["a"]
    assert watched.run() == ["evicted a", "loaded a"]


def test_old_strikes_are_forgotten() -> None:
    watched = Watched()
    watched.run()
    for _number in range(2 * MOST["evicted"]):
        del watched.engine.models["b"]
        assert "waits b" not in watched.run(after_s=WINDOW_S / 2)


FAR = "9999-12-31T23:59:59-12:00"
HAND_MADE: list[dict[str, Any]] = [
    {"wait_level": 5000},
    {"wait_level": -2000},
    {"wait_until": FAR},
    {"since": FAR},
    {"strikes": {"failed": [FAR], "evicted": [FAR] * 9}},
    {"strikes": {"failed": [moment(NOW)] * 9, "evicted": [moment(NOW)] * 9}, "wait_level": 5000},
]


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize("changes", HAND_MADE)
def test_a_value_that_was_made_by_hand_is_brought_into_its_bounds(changes: dict[str, Any], dead: bool) -> None:
    watched = Watched()
    watched.run()
    watched.model("a").update(changes)
    del watched.engine.models["a"]
    watched.engine.dead = dead
    assert watched.run()[0] == ("engine_down" if dead else "evicted a")
    assert watched.state.records["a"].wait_level in range(WAIT_LEVEL_MOST + 1)


def test_models_come_and_go_with_the_configuration() -> None:
    watched = Watched()
    watched.run()
    state = restored(watched.document, wanted("b", "c"), NOW)
    assert {name: record.loads for name, record in state.records.items()} == {"b": 1, "c": 0}


@pytest.mark.parametrize(
    "damage",
    [
        {},
        {"models": 5},
        {"models": [{"name": "a"}]},
        {"counters": None},
        {"engine": {}},
        {"began_at": "yesterday"},
        {"began_at": "0001-01-01T00:00:00+00:00"},
        {"last_events": [5]},
    ],
)
def test_a_state_that_is_none_of_ours_is_refused(damage: dict[str, Any]) -> None:
    watched = Watched()
    watched.run()
    with pytest.raises(ValueError, match="not what the watchdog writes"):
        restored({**(watched.document or {}), **damage} if damage else {}, EXPECTED, NOW)
