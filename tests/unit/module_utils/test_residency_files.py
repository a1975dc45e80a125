"""Files of the watchdog: whole, readable, bounded, and one run at a time."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


TEXTS: list[tuple[str | None, dict[str, Any] | None]] = [
    (None, None),
    ('{"a": 1}', {"a": 1}),
    ('{"a": ["\\ud800", NaN]}', {"a": ["\ufffd", None]}),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
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


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may come to, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def owner_and_mode(path: Path) -> tuple[int, int]:
    return path.stat().st_uid, path.stat().st_mode & 0o777


def lock_as(user: int, folder: Path) -> None:
    """Hold the lock once, as a user."""
    os.seteuid(user)
    try:
        with locked(str(folder)):
            pass
    finally:
        os.seteuid(0)


ROOT, SERVICE, OTHER = 0, 4711, 4712
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")


# Who takes it in which order: the role as root, the watchdog as the service's user. ``left``: by a release that let all read it.
@needs_root
@pytest.mark.parametrize("left", [None, ROOT, SERVICE])
@pytest.mark.parametrize("order", [(ROOT, SERVICE, ROOT), (SERVICE, ROOT, SERVICE)])
def test_only_root_and_the_services_user_can_hold_the_lock(order: tuple[int, ...], left: int | None, open_folder: Path) -> None:
    os.chown(open_folder, SERVICE, SERVICE)
    if left is not None:
        (open_folder / "lock").touch(0o644)
        os.chown(open_folder / "lock", left, left)
    for user in order:
        lock_as(user, open_folder)
    assert owner_and_mode(open_folder / "lock") == (SERVICE, 0o600)
    with pytest.raises(PermissionError):
        lock_as(OTHER, open_folder)


def test_a_lock_of_an_earlier_release_is_closed(tmp_path: Path) -> None:
    (tmp_path / "lock").touch(0o644)
    with locked(str(tmp_path)):
        assert owner_and_mode(tmp_path / "lock") == (os.geteuid(), 0o600)


@needs_root
def test_no_other_file_is_given_away_as_the_lock(open_folder: Path) -> None:
    os.chown(open_folder, SERVICE, SERVICE)
    for name, text in (("full", "secret"), ("linked", "")):
        other = open_folder / name
        other.write_text(text)
        other.chmod(0o640)
        os.link(other, open_folder / "lock")
        lock_as(ROOT, open_folder)
        assert owner_and_mode(other) == (ROOT, 0o640)
        (open_folder / "lock").unlink()
    (open_folder / "lock").symlink_to(open_folder / "full")
    with pytest.raises(OSError, match="symbolic link"):
        lock_as(ROOT, open_folder)


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


@pytest.mark.parametrize("before", ['{"number": 0}\n', ""])
@pytest.mark.parametrize("cut", ['{"numb', "x" * EVENTS_BYTES])
def test_an_event_after_a_cut_line_has_a_line_of_its_own(before: str, cut: str, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(before + cut)
    append_events(str(path), [{"number": 1}])
    append_events(str(path), [{"number": 2}])
    assert path.read_text().splitlines()[-2:] == ['{"number": 1}', '{"number": 2}']


@pytest.mark.parametrize(
    ("lines", "expected"),
    [([], 0), (["a\n"] * EVENTS_KEPT, EVENTS_KEPT), (["a\n"] * (EVENTS_KEPT + 1), EVENTS_KEPT), (["a" * EVENTS_BYTES], 0)],
)
def test_so_many_lines_are_kept(lines: list[str], expected: int) -> None:
    assert len(kept_lines(lines)) == expected
