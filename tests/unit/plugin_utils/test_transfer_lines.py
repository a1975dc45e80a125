"""What is said while a model is on its way: enough to wait in peace, and not a word too many."""

from __future__ import annotations

import json

import pytest

from plugins.plugin_utils.transfer_lines import EVERY_S, TransferLines, duration_text, size_text

MIB = 2**20


def state(at_s=0.0, done=None, total=None, phase="pulling", events=()):
    return json.dumps({"phase": phase, "completed_bytes": done, "total_bytes": total, "at_s": at_s, "events": list(events)})


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def lines(now):
    return TransferLines("star", "gemma4:26b", lambda: now[0])


def test_nothing_is_said_of_what_is_quick(lines, now):
    assert lines.lines(None) == []
    now[0] = EVERY_S - 0.1
    assert lines.lines(state(1, 5, 10)) == []


def test_an_event_is_said_once_and_at_once(lines):
    assert lines.lines(state(events=["pulling from x"])) == ["star: gemma4:26b: pulling from x"]
    assert lines.lines(state(events=["pulling from x"])) == []
    assert lines.lines(state(events=["pulling from x", "trying again"])) == ["star: gemma4:26b: trying again"]


def test_how_far_it_is(lines, now):
    lines.lines(state(0, 0, 100 * MIB))
    now[0] = 10
    assert lines.lines(state(10, 20 * MIB, 100 * MIB)) == [
        "star: gemma4:26b: pulling: 20 %, 20.0 MiB of 100.0 MiB, 2.0 MiB/s, 40 s left"
    ]
    now[0] = 19.9
    assert lines.lines(state(19, 30 * MIB, 100 * MIB)) == []


def test_the_rate_is_that_of_the_last_half_minute(lines, now):
    for second in range(0, 101, 5):
        now[0] = float(second)
        said = lines.lines(state(second, min(second, 50) * MIB, 1000 * MIB))
    assert said == ["star: gemma4:26b: pulling: 5 %, 50.0 MiB of 1000.0 MiB, 0 B/s, standing still"]


def test_nothing_new_for_a_while_is_said_too(lines, now):
    lines.lines(state(0, 5 * MIB, 10 * MIB))
    now[0] = 10
    assert lines.lines(None) == ["star: gemma4:26b: pulling: 50 %, 5.0 MiB of 10.0 MiB"]


def test_a_phase_without_bytes(lines, now):
    lines.lines(state(0, 10, 10))
    now[0] = 5
    lines.lines(state(5, None, None, "verifying"))
    now[0] = 95
    assert lines.lines(state(6, None, None, "verifying")) == ["star: gemma4:26b: verifying, 1 min 30 s so far"]


def test_before_anything_is_known(lines, now):
    now[0] = 12
    assert lines.lines("not json") == ["star: gemma4:26b: working, 12 s so far"]


def test_a_transfer_that_begins_anew_has_a_new_rate(lines, now):
    lines.lines(state(0, 50 * MIB, 100 * MIB))
    lines.lines(state(5, 0, 100 * MIB))
    now[0] = 10
    assert lines.lines(state(10, 10 * MIB, 100 * MIB))[0].endswith("2.0 MiB/s, 45 s left")


@pytest.mark.parametrize("text", ["", "[]", "3", '{"events": 5}', '{"phase": null, "completed_bytes": "x", "total_bytes": 0}'])
def test_odd_files_are_taken(lines, text):
    assert lines.lines(text) == []


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1048575, "1.0 MiB"), (65e9, "60.5 GiB"), (5e15, "4547.5 TiB")],
)
def test_sizes(size_bytes, text):
    assert size_text(size_bytes) == text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (228, "3 min 48 s"),
        (3600, "1 h 0 min"),
        (7800, "2 h 10 min"),
        (-3, "0 s"),
    ],
)
def test_durations(duration_s, text):
    assert duration_text(duration_s) == text
