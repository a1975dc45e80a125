"""A whole run against scripted engines: order, warm-ups, verdicts, machines side by side, and engines that die."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

from plugins.plugin_utils import runner
from plugins.plugin_utils.samples import checked
from tests.scripted_engine import HELLO, Asked, ScriptedEngine, chunked, delta, finish, nobody, reply, usage
from tests.unit.benchmarks import SETTINGS, chosen, plan


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(runner, "RECOVERY_S", 0.2)
    monkeypatch.setattr(runner, "RECOVERY_POLL_S", 0.02)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def keeper(events: list[dict[str, Any]]) -> Any:
    """Takes events and says something about samples only."""

    def take(event: dict[str, Any]) -> bool:
        events.append(event)
        return event["kind"] == "sample"

    return take


def measured(document: dict[str, Any], **selectors: Any) -> list[dict[str, Any]]:
    """The events of a run; every sample in them obeys the schema."""
    events: list[dict[str, Any]] = []
    runner.run(chosen(document, **selectors), SETTINGS, keeper(events), lambda: None, silence_s=0.05)
    for event in events:
        if event["kind"] == "sample":
            checked(event["sample"])
        assert event["kind"] != "crashed", event["text"]
    return events


def samples(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event["sample"] for event in events if event["kind"] == "sample"]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["kind"] for event in events]


def test_a_case_is_warmed_up_and_measured_between_receipts() -> None:
    with ScriptedEngine() as engine:
        events = measured(plan({"alpha": engine.url}), host="alpha", workload="coding")
        paths = [asked.path for asked in engine.asked]
        posts = engine.posts()
    assert kinds(events) == ["started", "warm_up", *["request", "sample"] * 3, "finished"]
    assert [sample["verdict"] for sample in samples(events)] == ["warm"] * 3
    assert [post.body["max_tokens"] for post in posts] == [8, 8, 16, 16, 16]
    positions = [number for number, path in enumerate(paths) if path == "/v1/chat/completions"]
    assert all(paths[number - 1] == "/metrics" for number in positions)
    assert all(paths[number + 1] == "/health" for number in positions)
    assert engine.connections == 1


def test_every_request_begins_with_its_own_nonce_and_says_everything() -> None:
    with ScriptedEngine() as engine:
        found = samples(measured(plan({"alpha": engine.url}), host="alpha", workload="coding"))
        bodies = [post.body for post in engine.posts()]
    lines = [body["messages"][0]["content"].split("\n") for body in bodies]
    assert len({line[0] for line in lines}) == 5
    assert all(len(line[0]) == 8 and line[1:] == ["Write code."] for line in lines)
    assert [sample["settings"]["nonce"] for sample in found] == [line[0] for line in lines[2:]]
    assert {(body["temperature"], body["model"], body["stream"]) for body in bodies} == {(0.0, "m", True)}


def test_embeddings_are_measured_too() -> None:
    with ScriptedEngine(models=("e",)) as engine:
        found = samples(measured(plan({"beta": engine.url}), workload="embedding"))
    assert [(sample["verdict"], sample["dimension"], sample["mode"]) for sample in found] == [("warm", 3, "embedding")] * 3


def overlap(left: list[Asked], right: list[Asked]) -> bool:
    return any(one.read_ns < other.done_ns and other.read_ns < one.done_ns for one in left for other in right)


@pytest.mark.parametrize(("machines", "together"), [({}, True), ({"alpha": "mini", "beta": "mini"}, False)])
def test_machines_overlap_and_one_machine_never_does(machines: dict[str, str], together: bool) -> None:
    # Two engines on two machines meet here; alone on one machine, each gives up waiting for the other and answers.
    meeting = threading.Barrier(2)

    def answer(asked: Asked) -> Any:
        if asked.method == "POST" and asked.body["max_tokens"] == 16 and not meeting.broken:
            with contextlib.suppress(threading.BrokenBarrierError):
                meeting.wait(10 if together else 0.05)
        return None

    with ScriptedEngine(answer) as one, ScriptedEngine(answer) as two:
        found = samples(measured(plan({"alpha": one.url, "beta": two.url}, **machines), workload="coding"))
        assert overlap(one.posts(), two.posts()) is together
        assert together or not overlap(one.asked, two.asked)
    assert [sample["verdict"] for sample in found] == ["warm"] * 6


class Faulty:
    """Gives the scripted fault to the numbered measured request, everything else its due."""

    def __init__(self, number: int, act: Any) -> None:
        self.number, self.act, self.seen = number, act, 0

    def __call__(self, asked: Asked) -> Any:
        if asked.method == "POST" and asked.body.get("max_tokens") == 16:
            self.seen += 1
            if self.seen == self.number:
                return self.act()
        return None


FAULTS = [
    (lambda: [reply({"error": {"message": "no"}}, "500 Error")], "failed", "http"),
    (lambda: chunked([delta("a")]), "failed", "truncated"),
    (lambda: [*chunked([delta("a")], end=b""), ("reset",)], "failed", "truncated"),
    (lambda: chunked([delta("a"), finish(), usage(1, prompt=400, cached=399), *HELLO[-1:]]), "cache_hit", None),
]


@pytest.mark.parametrize(("act", "verdict", "kind"), FAULTS)
def test_a_fault_costs_one_sample(act: Any, verdict: str, kind: str | None) -> None:
    with ScriptedEngine(Faulty(2, act)) as engine:
        found = samples(measured(plan({"alpha": engine.url}), host="alpha", workload="coding"))
    assert [sample["verdict"] for sample in found] == ["warm", verdict, "warm"]
    assert (found[1]["error"] or {}).get("kind") == kind


def test_an_engine_that_dies_and_comes_back_is_warmed_up_again_and_reported() -> None:
    with ScriptedEngine() as engine:

        def die() -> Any:
            engine.instance = "life-2"
            return [*chunked([delta("a")], end=b""), ("reset",)]

        engine.answer = Faulty(2, die)
        events = measured(plan({"alpha": engine.url}), host="alpha", workload="coding")
    assert [sample["verdict"] for sample in samples(events)] == ["warm", "failed", "warm"]
    assert samples(events)[1]["content"] == "a"
    assert kinds(events).count("restart") == 1
    assert kinds(events).count("warm_up") == 2


def test_a_restart_between_samples_is_seen_and_its_sample_is_not_warm() -> None:
    with ScriptedEngine() as engine:

        def count(asked: Asked) -> Any:
            # The first receipt after the first sample's own is the one before the second sample.
            if asked.path == "/props" and len(engine.posts()) == 3:
                after.append(asked)
                engine.instance = "life-2" if len(after) > 1 else "life-1"
            return None

        after: list[Asked] = []
        engine.answer = count
        events = measured(plan({"alpha": engine.url}), host="alpha", workload="coding")
    assert [sample["verdict"] for sample in samples(events)] == ["warm", "cold", "warm"]
    assert kinds(events).count("restart") == 1


def test_a_restart_after_the_last_sample_is_still_seen() -> None:
    with ScriptedEngine() as engine:

        def late(asked: Asked) -> Any:
            receipts = [one for one in engine.asked if one.path == "/props"]
            engine.instance = "life-2" if len(engine.posts()) == 5 and len(receipts) > 10 else "life-1"
            return None

        engine.answer = late
        events = measured(plan({"alpha": engine.url}), host="alpha", workload="coding")
    assert [sample["verdict"] for sample in samples(events)] == ["warm"] * 3
    assert kinds(events)[-2:] == ["restart", "finished"]


def test_an_engine_that_is_not_there_costs_its_own_samples_only() -> None:
    with ScriptedEngine() as engine, nobody() as url:
        events = measured(plan({"alpha": url, "beta": engine.url}), workload="coding")
    found = samples(events)
    assert [sample["verdict"] for sample in found if sample["host"] == "beta"] == ["warm"] * 3
    lost = [sample for sample in found if sample["host"] == "alpha"]
    assert [(sample["verdict"], sample["error"]["kind"]) for sample in lost] == [("failed", "connect")] * 3
    assert all("warm-up failed" in sample["evidence"][0] for sample in lost)
    assert kinds(events).count("away") == 1


def test_a_server_with_another_model_is_a_failure_that_names_both() -> None:
    with ScriptedEngine(models=("other",)) as engine:
        found = samples(measured(plan({"alpha": engine.url}), host="alpha", workload="coding"))
    assert {sample["error"]["kind"] for sample in found} == {"model"}
    assert "serves other; expected m" in found[0]["error"]["message"]


def test_a_hanging_engine_is_given_up_after_one_deadline() -> None:
    document = plan()
    document["benchmark"]["timeout_s"] = 0.2
    with ScriptedEngine(lambda asked: [("hang",)] if asked.method == "POST" else None) as engine:
        document["aliases"]["coding"]["deployments"][0]["url"] = engine.url
        found = samples(measured(document, host="alpha", workload="coding"))
        assert len(engine.posts()) == 1
    assert [sample["error"]["kind"] for sample in found] == ["timeout"] * 3


def test_silence_is_noticed() -> None:
    silent = threading.Event()

    def answer(asked: Asked) -> Any:
        if asked.method == "POST":
            silent.wait(10)
        return None

    with ScriptedEngine(answer) as engine:
        cases = chosen(plan({"alpha": engine.url}), host="alpha", workload="coding")
        runner.run(cases, SETTINGS, lambda _event: True, silent.set, silence_s=0.05)
    assert silent.is_set()


def test_events_that_nothing_is_said_about_do_not_break_the_silence() -> None:
    beats: list[str] = []
    with ScriptedEngine(lambda asked: [("at", 0.05), *chunked(HELLO)] if asked.method == "POST" else None) as engine:
        cases = chosen(plan({"alpha": engine.url}), host="alpha", workload="coding")
        # Five requests take a quarter of a second at least, with events more often than the patience lasts.
        runner.run(cases, SETTINGS, lambda _event: False, lambda: beats.append("beat"), silence_s=0.15)
    assert beats


def test_a_mistake_of_ours_ends_one_machine_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = runner.judge

    def wrong(record: Any, *receipts: Any) -> Any:
        if record["times"]["started_ns"] and threading.current_thread().name.endswith("alpha"):
            raise KeyError("oops")
        return whole(record, *receipts)

    monkeypatch.setattr(runner, "judge", wrong)
    events: list[dict[str, Any]] = []
    with ScriptedEngine() as one, ScriptedEngine() as two:
        cases = chosen(plan({"alpha": one.url, "beta": two.url}), workload="coding")
        runner.run(cases, SETTINGS, keeper(events), lambda: None, silence_s=0.05)
    assert [event["machine"] for event in events if event["kind"] == "crashed"] == ["alpha"]
    assert [sample["host"] for sample in samples(events)] == ["beta"] * 3
