"""The file in which a transfer says how far it is, and the limits of time."""

from __future__ import annotations

import json
import stat

import pytest

from plugins.module_utils.transfer_progress import MAX_EVENTS, Limits, ModelProblem, Progress


def read(path):
    return json.loads(path.read_text())


def test_what_is_written(tmp_path):
    path, now = tmp_path / "progress", [10.0]
    progress = Progress(str(path), lambda: now[0])
    progress.event("pulling")
    assert read(path) == {"phase": "", "completed_bytes": None, "total_bytes": None, "events": ["pulling"], "at_s": 10.0}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    progress.begin("fetching", 100, 5)
    assert (read(path)["phase"], read(path)["completed_bytes"], read(path)["total_bytes"]) == ("fetching", 5, 100)
    progress.moved(50)
    assert read(path)["completed_bytes"] == 5
    now[0] = 11.0
    progress.moved(60)
    assert (read(path)["completed_bytes"], read(path)["at_s"]) == (60, 11.0)
    progress.begin("verifying")
    assert read(path)["total_bytes"] is None
    progress.close()
    assert list(tmp_path.iterdir()) == []


def test_events_are_bounded(tmp_path):
    progress = Progress(str(tmp_path / "progress"))
    for number in range(MAX_EVENTS + 10):
        progress.event(str(number))
    assert len(read(tmp_path / "progress")["events"]) == MAX_EVENTS


@pytest.mark.parametrize("path", [None, "/not/there/progress"])
def test_a_transfer_goes_on_where_nobody_can_look(path):
    progress = Progress(path)
    progress.event("x")
    progress.moved(1)
    progress.close()


def test_a_link_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "progress.unfinished").symlink_to(victim)
    Progress(str(tmp_path / "progress")).event("x")
    assert victim.read_text() == "precious"


def test_limits():
    assert 9 < Limits(10.0).silence_s() <= 10
    assert Limits(1000.0, stall_s=5.0).silence_s() == 5.0
    with pytest.raises(ModelProblem, match=r"was not done within 0 s; run again, what was fetched is kept, or raise timeout_s"):
        Limits(0.0).left_s()
