"""After the removal: what was started is stopped, and nothing of it is left."""

from __future__ import annotations

from pathlib import Path

from tests import lab


def test_nothing_listens() -> None:
    assert lab.listeners() == {}


def test_no_process_of_the_lab_is_left() -> None:
    inside = str(lab.BUILD).encode()
    lines = {path: path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()}
    assert [line for line in lines.values() if inside in line and b"pytest" not in line] == []


def test_nothing_of_the_hosts_is_left() -> None:
    assert list((lab.BUILD / "hosts").rglob("*")) == []
