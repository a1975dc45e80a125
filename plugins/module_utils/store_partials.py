# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What interrupted transfers and replaced models have left in an Ollama's store, and whether anybody still writes it.

Names: server/download.go and manifest/paths.go of Ollama v0.33.0 (the same in v0.24.0). An Ollama with OLLAMA_NOPRUNE keeps all
of it for ever; one without removes at its start what left_over finds.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import re
import stat
import time
from typing import Collection, Iterable

from .ollama_store import blob_path

# Ollama's own of a running pull are called sha256-…-partial and sha256-…-partial-<number>.
PARTIAL = "-homelab-partial"
BLOB_FILE = re.compile(r"sha256-(?P<digest>[0-9a-f]{64})(?P<partial>-partial(?:-\d+)?|-homelab-partial)?")
# An Ollama begins a part anew after 30 s without a byte (server/download.go), which writes to its files.
QUIET_S = 60.0


def begun_files(directory: str, digest: str, by_engine: bool) -> list[str]:
    """The unfinished files of a blob: of the engine's own pull, or of a download of this collection."""
    path = blob_path(directory, digest)
    if not by_engine:
        return [path + PARTIAL] if os.path.lexists(path + PARTIAL) else []
    return sorted(glob.glob(glob.escape(path) + "-partial*"))


def taken_bytes(paths: Iterable[str]) -> int:
    """Disk space that files take; Ollama's unfinished ones are sparse."""
    total = 0
    for path in paths:
        with contextlib.suppress(OSError):
            total += os.lstat(path).st_blocks * 512
    return total


def is_left(paths: Collection[str], quiet_s: float = QUIET_S) -> bool:
    """Whether nobody writes the unfinished files of a blob any more, or has for so many seconds."""
    try:
        newest = max((os.lstat(path).st_mtime for path in paths), default=0.0)
        return time.time() - newest > quiet_s and not any(_is_locked(path) for path in paths if path.endswith(PARTIAL))
    except OSError:
        return False


def _is_locked(path: str) -> bool:
    """Whether a download of this collection has the file."""
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(number)


def left_over(directory: str, used: Collection[str], older_than_s: float) -> list[str]:
    """Paths of the store's files that no model has and nobody writes: blobs whose digest is not in ``used``, and unfinished ones.

    ``older_than_s``: what was written later may belong to a model that is just being made.
    """
    folder = os.path.join(directory, "blobs")
    whole: list[str] = []
    begun: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        match, path = BLOB_FILE.fullmatch(name), os.path.join(folder, name)
        if not match or not stat.S_ISREG(os.lstat(path).st_mode):
            continue
        if match["partial"]:
            begun.setdefault(match["digest"] + str(match["partial"] == PARTIAL), []).append(path)
        elif f"sha256:{match['digest']}" not in used:
            whole.append(path)
    groups = [[path] for path in whole] + list(begun.values())
    return sorted(path for paths in groups if is_left(paths, older_than_s) for path in paths)
