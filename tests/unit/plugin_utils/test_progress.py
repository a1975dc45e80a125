"""Lines while a run is under way: every finished sample, who is waited for, and the time left."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.plugin_utils.progress import Progress, sample_line
from tests.unit.benchmarks import chosen, failed, plan, sample


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def event(kind: str, machine: str = "alpha", case: str | None = "coding--alpha--m", **facts: Any) -> dict[str, Any]:
    return {"kind": kind, "machine": machine, "case": case, **facts}


LINES = [
    (event("waiting", case=None, holder="process 7"), ["machine alpha", "another run", "process 7"]),
    (event("restart", text="it was started again"), ["alpha", "coding--alpha--m", "started again"]),
    (event("away", text="it did not answer", note="; waiting"), ["did not answer; waiting"]),
    (event("crashed", case=None, text="KeyError"), ["mistake in the harness", "KeyError"]),
    (event("sample", number=2, sample=sample(number=2)), ["run 2/3", "warm"]),
]


@pytest.mark.parametrize(("happened", "words"), LINES)
def test_what_happens_is_said(happened: dict, words: list[str]) -> None:
    line = Progress(chosen(), 3).line(happened)
    assert line is not None
    assert [word for word in words if word not in line] == []


@pytest.mark.parametrize("kind", ["started", "warm_up", "request", "finished"])
def test_what_only_begins_is_not(kind: str) -> None:
    assert Progress(chosen(), 3).line(event(kind, number=1)) is None


def test_the_time_left_is_the_slowest_machines() -> None:
    clock = Clock()
    progress = Progress(chosen(plan()), 2, clock)
    for machine in ("alpha", "beta"):
        progress.line(event("started", machine, None))
    assert progress.left_s() is None
    clock.now += 10
    progress.line(event("sample", number=1, sample=sample()))
    assert progress.left_s() is None
    clock.now += 10
    line = progress.line(event("sample", "beta", "coding--beta--m", number=1, sample=sample()))
    # alpha: one of six samples in 10 s leaves 50 s, 10 of them gone; beta: one of four in 20 s leaves 60 s.
    assert progress.left_s() == 60
    assert line is not None
    assert "about 60 s left" in line
    progress.line(event("finished", "beta", None))
    assert progress.left_s() == 40
    clock.now += 1000
    assert progress.left_s() == 40


def test_the_heartbeat_says_what_every_machine_does_and_since_when() -> None:
    clock = Clock()
    progress = Progress(chosen(), 3, clock)
    progress.line(event("warm_up"))
    progress.line(event("waiting", "beta", None, holder="x"))
    clock.now += 5
    progress.line(event("request", number=2))
    clock.now += 9
    beat = progress.heartbeat()
    assert "coding--alpha--m: run 2/3 for 9 s" in beat
    assert "machine beta: waiting for another run for 14 s" in beat


SAMPLES = [
    (sample(seconds=2.0), ["alpha", "2.00 s", "TTFT 200 ms", "11 tokens", "6 tokens/s", "warm"]),
    (sample(usage=None), ["- tokens", "- tokens/s"]),
    (sample(verdict="failed", error=failed("timeout", "late")), ["FAILED", "timeout: late"]),
    (sample(verdict="cache_hit", evidence=["99 cached"]), ["cache_hit (99 cached)"]),
    (sample(chosen(workload="embedding")[0], dimension=576), ["dimension 576"]),
]


@pytest.mark.parametrize(("value", "words"), SAMPLES)
def test_a_sample_is_one_line(value: dict, words: list[str]) -> None:
    line = sample_line(value)
    assert "\n" not in line
    assert [word for word in words if word not in line] == []
