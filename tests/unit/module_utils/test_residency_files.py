"""Files of the watchdog: whole, readable, bounded, and one run at a time."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from plugins.module_utils.residency_files import (
    EVENTS_BYTES,
    EVENTS_KEPT,
    Busy,
    append_events,
    kept_lines,
    locked,
    read_object,
    write_whole,
)


def test_a_file_is_replaced_and_readable_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "residency.prom"
    before = os.umask(0o077)
    try:
        for text in ("old\n", "new\n"):
            write_whole(str(path), text)
    finally:
        os.umask(before)
    assert (path.read_text(), path.stat().st_mode & 0o777, os.listdir(tmp_path)) == ("new\n", 0o644, ["residency.prom"])


@pytest.mark.parametrize(("text", "expected"), [(None, None), ('{"a": 1}', {"a": 1})])
def test_an_object_is_read(text: str | None, expected: object, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    assert read_object(str(path)) == expected


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100000])
def test_what_is_no_object_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json.*expected a JSON object"):
        read_object(str(tmp_path / "a.json"))


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with locked(str(tmp_path)), pytest.raises(Busy, match="another run is loading models"), locked(str(tmp_path)):
        pytest.fail("the lock was given twice")
    with locked(str(tmp_path)):
        assert (tmp_path / "lock").stat().st_size == 0


def test_no_directory_no_lock(tmp_path: Path) -> None:
    with locked(str(tmp_path / "none")):
        assert not (tmp_path / "none").exists()


def test_events_are_added_and_only_the_newest_kept(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("not json\n")
    append_events(str(path), [{"number": 0}])
    append_events(str(path), [])
    assert path.read_text() == 'not json\n{"number": 0}\n'
    for number in range(1, 30):
        append_events(str(path), [{"number": number, "text": "x" * 20000}])
    assert path.stat().st_size <= EVENTS_BYTES + 20100
    assert path.stat().st_mode & 0o777 == 0o644
    assert json.loads(path.read_text().splitlines()[-1])["number"] == 29


@pytest.mark.parametrize(
    ("lines", "expected"),
    [([], 0), (["a\n"] * EVENTS_KEPT, EVENTS_KEPT), (["a\n"] * (EVENTS_KEPT + 1), EVENTS_KEPT), (["a" * EVENTS_BYTES], 0)],
)
def test_so_many_lines_are_kept(lines: list[str], expected: int) -> None:
    assert len(kept_lines(lines)) == expected
