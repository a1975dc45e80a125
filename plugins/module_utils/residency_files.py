# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the residency watchdog: one at a time, written whole or not at all, never without end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from typing import Any, BinaryIO, Iterator, Sequence

from .events import cleaned

MODE = 0o644
LOCK = "lock"
# Whoever may open the file may hold the lock.
LOCK_MODE = 0o600
POLL_S = 0.2
# About a year of a quiet host; a host that evicts every 30 seconds fills it in four hours.
EVENTS_KEPT = 500
EVENTS_BYTES = 256 * 1024


class Busy(Exception):
    """Somebody else holds the lock."""


@contextlib.contextmanager
def locked(directory: str, limit_s: float = 0.0) -> Iterator[None]:
    """Hold the directory's lock; where there is no such directory, nothing. Raises Busy after ``limit_s``, OSError."""
    if not os.path.isdir(directory):
        yield
        return
    descriptor = os.open(os.path.join(directory, LOCK), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, LOCK_MODE)
    try:
        _keep_to_owner(descriptor, directory)
        _take(descriptor, directory, limit_s)
        yield
    finally:
        os.close(descriptor)


def _keep_to_owner(descriptor: int, directory: str) -> None:
    """Leave the lock to the directory's user and root, whoever of them made it first.

    Root gives away nothing but an empty file with this one name, so that no other file can be slipped under it.
    """
    found, folder = os.fstat(descriptor), os.stat(directory)
    if not stat.S_ISREG(found.st_mode) or found.st_size or found.st_nlink != 1 or os.geteuid() not in (0, found.st_uid):
        return
    if os.geteuid() == 0 and found.st_uid != folder.st_uid:
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
    if stat.S_IMODE(found.st_mode) != LOCK_MODE:
        os.fchmod(descriptor, LOCK_MODE)


def _take(descriptor: int, directory: str, limit_s: float) -> None:
    ends = time.monotonic() + limit_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= ends:
                raise Busy(f"{directory}: another run is loading models (it holds the file {LOCK}); try again later") from error
        time.sleep(POLL_S)


def write_whole(path: str, text: str) -> None:
    """Write a file at once, readable for everybody: who reads it sees the old text or the new one. Raises OSError."""
    # Not a name that a collector of *.prom files would read.
    beside = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside)
    with open(beside, "w", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), MODE)
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(beside, path)


def read_object(path: str) -> dict[str, Any] | None:
    """The JSON object in a file, ``cleaned``; None where there is no file. Raises ValueError for anything else in it, OSError."""
    try:
        with open(path, encoding="utf-8") as stream:
            value = cleaned(json.load(stream))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}; expected a JSON object") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: got {type(value).__name__}; expected a JSON object")
    return value


def append_events(path: str, events: Sequence[dict[str, Any]]) -> None:
    """Add events, one JSON object per line, and keep the newest where there are too many. Raises OSError."""
    if not events:
        return
    lines = [json.dumps(event, ensure_ascii=False) + "\n" for event in events]
    if os.access(path, os.W_OK) and os.path.getsize(path) <= EVENTS_BYTES:
        with open(path, "a+b") as stream:
            stream.write(("\n" * _is_cut(stream) + "".join(lines)).encode())
        return
    # Too long, not there, or made by another user: written anew.
    write_whole(path, "".join(kept_lines([*_lines_of(path), *lines])))


def _is_cut(stream: BinaryIO) -> bool:
    """Whether the last line has no end: power was lost, or the disk was full."""
    if not stream.seek(0, os.SEEK_END):
        return False
    stream.seek(-1, os.SEEK_END)
    return stream.read() != b"\n"


def _lines_of(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return [line.rstrip("\n") + "\n" for line in stream]
    except FileNotFoundError:
        return []


def kept_lines(lines: Sequence[str]) -> list[str]:
    """The newest lines: so many, and no more than half of the bytes that a file may have."""
    kept: list[str] = []
    size = 0
    for line in reversed(lines[-EVENTS_KEPT:]):
        size += len(line.encode())
        if size > EVENTS_BYTES // 2:
            break
        kept.append(line)
    return kept[::-1]
