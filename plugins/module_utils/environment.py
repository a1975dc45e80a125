# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual environment that holds exactly what a lock says.

The environment is made beside its place and moved there when it is complete, so that one that cannot be made never
replaces one that works. A stamp inside it, written last, says which lock and interpreter it was made from.
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import os
import shutil
import subprocess
from typing import Any, NamedTuple, Sequence

from . import lock as locks

STAMP = ".python_environment.json"
# What an installer of the same lock left out from the start; no reason to install again.
NEVER_THERE = "never_there"
BUILDING = ".building"
REPLACED = ".replaced"
# Variables of the caller that would make pip, uv or Python look at another environment than the one being made.
FOREIGN_VARIABLES = (
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYTHONPATH",
    "PYTHONHOME",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_REQUIRE_VIRTUALENV",
    "__PYVENV_LAUNCHER__",
)
# How much of an installer's output an error shows: enough for its reason, short enough to read.
OUTPUT_TAIL_LINES = 25


class EnvironmentFailure(Exception):
    """An environment cannot be made or removed; the message names it, what was found and what to do."""


class Interpreter(NamedTuple):
    """The interpreter that an environment is made with: its path and the versions `3.11` and `3.11.7`."""

    path: str
    series: str
    version: str


class Wanted(NamedTuple):
    """What an environment shall be: place, lock, interpreter, and whether dependencies are resolved beyond the lock."""

    path: str
    lock: str
    interpreter: Interpreter
    dependencies: bool = True

    def stamp(self) -> dict[str, Any]:
        """What the stamp of such an environment says."""
        return {
            "lock_sha256": locks.digest(self.lock),
            "python": self.interpreter.series,
            "dependencies": self.dependencies,
            "packages": [str(pin) for pin in locks.parse(self.lock)],
        }


def inspect_interpreter(path: str) -> Interpreter:
    """Ask an interpreter for its version. Raises EnvironmentFailure when it does not answer or is older than 3.8."""
    question = "import sys; print('%d %d %d' % sys.version_info[:3])"
    try:
        answer = subprocess.run(
            [path, "-c", question],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=True,
            timeout=60,
            env=clean_environment(),
            text=True,
        ).stdout
        major, minor, micro = (int(part) for part in answer.split())
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise EnvironmentFailure(f"python: {path} is no Python that answers ({error}); name one of the host's") from error
    if (major, minor) < (3, 8):
        raise EnvironmentFailure(f"python: {path} is {major}.{minor}; expected 3.8 or newer; name a newer interpreter")
    return Interpreter(path, f"{major}.{minor}", f"{major}.{minor}.{micro}")


def clean_environment() -> dict[str, str]:
    """The caller's variables without those that point into another environment; pip's and uv's own settings stay."""
    return {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}


def site_packages(path: str, series: str) -> str:
    """Where an environment keeps its packages."""
    return os.path.join(path, "lib", f"python{series}", "site-packages")


def read_stamp(path: str) -> dict[str, Any] | None:
    """The stamp of an environment; None when there is none, it cannot be read, or its interpreter is gone."""
    try:
        with open(os.path.join(path, STAMP), encoding="utf-8") as file:
            stamp = json.load(file)
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) and os.path.exists(os.path.join(path, "bin", "python")) else None


def is_current(wanted: Wanted) -> bool:
    """Whether the environment was made from this lock and this Python, and still has all its files."""
    there = read_stamp(wanted.path) or {}
    same = {name: value for name, value in there.items() if name != NEVER_THERE} == wanted.stamp()
    return same and not lost_files(wanted.path, wanted.interpreter.series)


def lost_files(path: str, series: str) -> list[str]:
    """Files that the environment had when it was made and has no more."""
    known = (read_stamp(path) or {}).get(NEVER_THERE) or []
    return sorted(set(missing_files(path, series)) - set(known))


def missing_files(path: str, series: str) -> list[str]:
    """Files that the packages' own lists name (PyPA specification of RECORD) and that are not there; compiled ones may go."""
    folder = site_packages(path, series)
    packages = [name for name in os.listdir(folder) if name.endswith(".dist-info")] if os.path.isdir(folder) else []
    rows = [row for package in packages for row in csv.reader(read_lines(os.path.join(folder, package, "RECORD"))) if row]
    lasting = [row[0] for row in rows if not row[0].endswith(".pyc")]
    return [name for name in lasting if not os.path.lexists(os.path.join(folder, name))]


def read_lines(path: str) -> list[str]:
    """The lines of a text file; none when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def installed(path: str, series: str) -> dict[str, str]:
    """The packages that are really there, by normalized name."""
    found = importlib.metadata.distributions(path=[site_packages(path, series)])
    return {locks.normalized(item.metadata["Name"]): item.version for item in found}


def check_place(path: str) -> None:
    """Refuse a place that holds something other than an environment: it would be deleted."""
    if not os.path.isabs(path):
        raise EnvironmentFailure(f"path: {path} is relative; expected an absolute path")
    if os.path.islink(path) or (os.path.exists(path) and not os.path.isdir(path)):
        raise EnvironmentFailure(f"path: {path} is no directory; expected a virtual environment or nothing; choose another path")
    known = os.path.exists(os.path.join(path, "pyvenv.cfg")) or os.path.exists(os.path.join(path, STAMP))
    if os.path.isdir(path) and os.listdir(path) and not known:
        raise EnvironmentFailure(
            f"path: {path} holds files that are no virtual environment; expected an environment or nothing; "
            f"choose another path or empty this one"
        )


def make(wanted: Wanted, uv: str) -> None:
    """Make the environment with uv, or with venv and pip when `uv` is empty, and put it in its place."""
    check_place(wanted.path)
    building = wanted.path + BUILDING
    shutil.rmtree(building, ignore_errors=True)
    os.makedirs(os.path.dirname(wanted.path), exist_ok=True)
    try:
        fill(building, wanted, uv)
        relocate(building, wanted.path)
        stamp = {**wanted.stamp(), NEVER_THERE: missing_files(building, wanted.interpreter.series)}
        with open(os.path.join(building, STAMP), "w", encoding="utf-8") as file:
            json.dump(stamp, file, indent=1, sort_keys=True)
        put_in_place(building, wanted.path)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def fill(building: str, wanted: Wanted, uv: str) -> None:
    """Create the environment in `building` and install the lock into it; every file must match its hash."""
    python = os.path.join(building, "bin", "python")
    if uv:
        run([uv, "venv", "--no-project", "--python", wanted.interpreter.path, building])
        install = [uv, "pip", "install", "--python", python]
    else:
        run(
            [wanted.interpreter.path, "-m", "venv", building],
            hint="the host's Python needs its venv module (Debian: python3-venv), or a uv binary must be named",
        )
        install = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    lock_file = os.path.join(building, "requirements.txt")
    with open(lock_file, "w", encoding="utf-8") as file:
        file.write(wanted.lock)
    # Wheels only: a source archive would run its build, with tools no hash covers, and take minutes.
    limits = ["--require-hashes", "--only-binary", ":all:", *([] if wanted.dependencies else ["--no-deps"])]
    run([*install, *limits, "-r", lock_file])


def run(command: Sequence[str], hint: str = "") -> None:
    """Run an installer. Raises EnvironmentFailure with the end of its output."""
    variables = dict(clean_environment(), UV_PYTHON_DOWNLOADS="never", NO_COLOR="1")
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=variables,
            check=False,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise EnvironmentFailure(f"{command[0]} cannot be run: {error}") from error
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-OUTPUT_TAIL_LINES:])
        advice = f" {hint}." if hint else ""
        words = " ".join(command)
        raise EnvironmentFailure(f"`{words}` ended with {done.returncode}, expected 0.{advice} Its last words:\n{tail}")


def relocate(building: str, path: str) -> None:
    """Write the final path into the scripts and the configuration that carry the path they were made at."""
    folder = os.path.join(building, "bin")
    names = [os.path.join(folder, name) for name in os.listdir(folder)] + [os.path.join(building, "pyvenv.cfg")]
    for name in names:
        if os.path.islink(name) or not os.path.isfile(name):
            continue
        with open(name, "rb") as file:
            content = file.read()
        if building.encode() in content and b"\0" not in content:
            with open(name, "wb") as file:
                file.write(content.replace(building.encode(), path.encode()))


def put_in_place(building: str, path: str) -> None:
    """Swap the complete environment in; the one it replaces is removed."""
    replaced = path + REPLACED
    shutil.rmtree(replaced, ignore_errors=True)
    if os.path.isdir(path):
        os.rename(path, replaced)
    os.rename(building, path)
    shutil.rmtree(replaced, ignore_errors=True)


def remove(path: str) -> None:
    """Remove the environment and what an interrupted run left beside it."""
    check_place(path)
    for leftover in (path, path + BUILDING, path + REPLACED):
        shutil.rmtree(leftover, ignore_errors=True)


def remains(path: str) -> list[str]:
    """What `remove` would take away."""
    return [item for item in (path, path + BUILDING, path + REPLACED) if os.path.isdir(item)]
