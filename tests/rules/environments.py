"""Environments with a real LiteLLM: `python -m tests.rules.environments RELEASE...`, or `wanted`.

Ends with 3 where none can be had. Each is made once by uv from a hashed lock and kept in the user's cache (XDG_CACHE_HOME is
honoured) under the release and a key that stands for its lock and the Python it is made with. 1.82.7 and 1.82.8 were somebody
else's work: never name them here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The releases that rules are shown on, oldest first: the last without order, and others between which behaviour changed. The last
# one is what the role installs.
PINNED = "1.106.2"
RELEASES = ("1.82.6", "1.83.14", "1.98.1", PINNED)
LIMIT_S = 600.0
# What LiteLLM would otherwise fetch from the internet when it is imported.
ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
}


# The exit code for that, as tests/engines/build.py has it.
UNAVAILABLE = 3


class Unavailable(Exception):
    """An environment cannot be made here; the message says why."""


def wanted() -> tuple[str, ...]:
    """All releases; the role's own only where RULES_RELEASES is `pinned`."""
    return (PINNED,) if os.environ.get("RULES_RELEASES") == "pinned" else RELEASES


def lock_of(release: str) -> Path:
    """The role's own lock for what it installs, this folder's for the others."""
    here = Path(__file__).parent / f"requirements-{release}.txt"
    return here if here.is_file() else ROOT / "roles" / "litellm" / "files" / here.name


def cache_folder(name: str = "litellm") -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "homelab-llm" / name


def python_of(release: str) -> Path:
    """The interpreter that has this release, made where it is not there yet."""
    return python_with(lock_of(release), f"LiteLLM {release}", cache_folder() / release)


def python_with(lock: Path, what: str, prefix: Path) -> Path:
    """The interpreter that has what a lock names, in a folder that begins so. A folder that is there is complete."""
    parts = f"{sys.version}\0{Path(sys.executable).resolve()}\0{lock.read_text(encoding='utf-8')}"
    folder = prefix.with_name(f"{prefix.name}-{hashlib.sha256(parts.encode()).hexdigest()[:16]}")
    if not folder.is_dir():
        prefix.parent.mkdir(parents=True, exist_ok=True)
        with (prefix.parent / "lock").open("w") as stream:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX)
            if not folder.is_dir():
                make(lock, what, folder)
    return folder / "bin" / "python"


def make(lock: Path, what: str, folder: Path) -> None:
    """An environment does not survive being moved, so it is made in its place and removed again where it did not become whole."""
    beside = Path(sys.executable).parent / "uv"
    tool = str(beside) if beside.is_file() else shutil.which("uv")
    if not tool:
        raise Unavailable(f"no uv beside {sys.executable}; `make env-dev` installs it")
    print(f"rules: making an environment with {what} in {folder}", flush=True)
    sync = [tool, "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", "--python", str(folder / "bin" / "python")]
    try:
        run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
        run([*sync, str(lock)])
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(command[:3])} … ended with {done.returncode}: {done.stderr.strip()[-600:]}")


def main(words: list[str]) -> int:
    names = list(wanted()) if words == ["wanted"] else words
    if not names or any(name not in RELEASES for name in names):
        print(f"got {words}; expected some of {', '.join(RELEASES)}, or wanted")
        return 2
    try:
        for name in names:
            print(f"{name}: {python_of(name)}", flush=True)
    except Unavailable as error:
        print(f"skipped: {error}", flush=True)
        return UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
