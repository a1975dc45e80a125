"""An environment with the LiteLLM that the role installs, from the role's own lock: `python -m tests.proxy.environment`.

It is kept in the user's cache (XDG_CACHE_HOME is honoured) under the lock's digest and Python's version; with uv's own cache
warm it takes a second to make. Prints its folder; ends with 3 where it cannot be had here (no uv, no network).
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.engines.build import UNAVAILABLE, cache_folder, one_at_a_time
from tests.engines.commands import Unavailable, say

ROOT = Path(__file__).resolve().parents[2]
VERSION = "1.106.2"
LOCK = ROOT / "roles" / "litellm" / "files" / f"requirements-{VERSION}.txt"
# A cold cache takes some minutes on a slow line.
INSTALL_LIMIT_S = 900.0


def folder_of(lock: Path = LOCK) -> Path:
    """Where the environment of a lock is, or will be; it is complete when it has the file `complete`."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(f"{lock.read_text(encoding='utf-8')}\0{python}".encode()).hexdigest()[:16]
    return cache_folder().parent / "litellm" / f"{lock.stem.removeprefix('requirements-')}-{digest}"


def uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if not found:
        raise Unavailable("uv is missing here: make env-dev")
    return found


def litellm_environment(lock: Path = LOCK) -> Path:
    """The environment's folder, made where it is not there yet. Raises Unavailable where it cannot be had."""
    folder = folder_of(lock)
    if not (folder / "complete").is_file():
        with one_at_a_time():
            if not (folder / "complete").is_file():
                _make(folder, lock)
    return folder


def _make(folder: Path, lock: Path) -> None:
    say(f"installing {lock.name} into {folder}, once")
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        [uv(), "venv", "--quiet", "--python", sys.executable, str(folder)],
        [uv(), "pip", "sync", "--quiet", "--require-hashes", "--python", str(folder / "bin" / "python"), str(lock)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False)
        if done.returncode:
            raise Unavailable(f"{' '.join(command[1:3])} failed, is there a network? {done.stderr.strip()[-500:]}")
    (folder / "complete").touch()


if __name__ == "__main__":
    try:
        print(litellm_environment(), flush=True)
    except Unavailable as reason:
        print(f"skipped: {reason}", flush=True)
        sys.exit(UNAVAILABLE)
