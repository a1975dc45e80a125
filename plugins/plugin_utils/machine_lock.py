"""One benchmark at a time on a machine, across all processes of this user on this controller."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

POLL_S = 0.2


class LockError(OSError):
    """The lock directory cannot be used safely."""


def lock_directory() -> Path:
    """A directory below the system's temporary one that only this user can enter; made if missing."""
    path = Path(tempfile.gettempdir()) / f"homelab-llm-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    state = path.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise LockError(f"{path}: others can reach it; expected a directory of this user with mode 0700. Remove it")
    return path


def lock_path(machine: str) -> Path:
    """The lock file of a machine: readable by its name, unique by a hash of it."""
    readable = re.sub(r"[^A-Za-z0-9._-]", "_", machine)[:64]
    return lock_directory() / f"machine-{readable}-{hashlib.sha256(machine.encode()).hexdigest()[:12]}.lock"


@contextlib.contextmanager
def machine_lock(machine: str, waiting: Callable[[str], None], stopped: Callable[[], bool]) -> Iterator[bool]:
    """Hold a machine's lock; yields False when ``stopped`` said so before it was free.

    ``waiting`` is called once with the holder's description when another run has the machine. The lock is flock on a file
    opened here: it excludes other processes and other threads of this one, and it ends with the process however that ends.
    """
    handle = os.open(lock_path(machine), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        held = acquire(handle, waiting, stopped)
        if held:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} since {time.strftime('%H:%M:%S')}".encode(), 0)
        yield held
    finally:
        os.close(handle)


def acquire(handle: int, waiting: Callable[[str], None], stopped: Callable[[], bool]) -> bool:
    """Take the lock, saying once that it has to be waited for."""
    told = False
    while not stopped():
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if not told:
                waiting(os.pread(handle, 200, 0).decode("utf-8", "replace") or "another run")
                told = True
            time.sleep(POLL_S)
    return False
