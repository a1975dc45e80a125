# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the residency watchdog: one at a time, written whole or not at all, never without end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import Any, Iterator, Sequence

MODE = 0o644
LOCK = "lock"
POLL_S = 0.2
# About a year of a quiet host; a host that evicts every 30 seconds fills it in four hours.
EVENTS_KEPT = 500
EVENTS_BYTES = 256 * 1024


class Busy(Exception):
    """Somebody else holds the lock."""


@contextlib.contextmanager
def locked(directory: str, limit_s: float = 0.0) -> Iterator[None]:
    """Hold the directory's lock; where there is no such directory, nothing. Raises Busy after ``limit_s``, OSError.

    The file is opened for reading: who may not write what another user made can still lock it.
    """
    if not os.path.isdir(directory):
        yield
        return
    descriptor = os.open(os.path.join(directory, LOCK), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, MODE)
    try:
        _take(descriptor, directory, limit_s)
        yield
    finally:
        os.close(descriptor)


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
    """The JSON object in a file, None where there is no file. Raises ValueError where there is something else in it, OSError."""
    try:
        with open(path, encoding="utf-8") as stream:
            value = json.load(stream)
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
        with open(path, "a", encoding="utf-8") as stream:
            stream.writelines(lines)
        return
    # Too long, not there, or made by another user: written anew.
    write_whole(path, "".join(kept_lines([*_lines_of(path), *lines])))


def _lines_of(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.readlines()
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
