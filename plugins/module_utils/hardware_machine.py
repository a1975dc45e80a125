# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions that a machine is asked about its hardware: files to read and commands to run, nothing that writes."""

from __future__ import annotations

import glob
import os
import platform
import subprocess
from typing import Sequence

COMMAND_LIMIT_S = 10.0
# More than any file that is read here; what a broken driver writes without end is not followed.
FILE_LIMIT_BYTES = 4 * 1024 * 1024
ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}


class Machine:
    """This machine. A test gives one that answers from recorded files."""

    def __init__(self) -> None:
        self.system = platform.system()
        self.architecture = architecture_name(platform.machine())

    def read(self, path: str) -> str | None:
        """The text of a file without what surrounds it; None where it cannot be read."""
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                return stream.read(FILE_LIMIT_BYTES).strip("\0 \t\n")
        except (OSError, ValueError):
            return None

    def paths(self, pattern: str) -> list[str]:
        """The paths that a shell pattern finds, sorted."""
        return sorted(glob.glob(pattern))

    def run(self, command: Sequence[str]) -> str | None:
        """What a command prints, even where it fails: it says why. None where there is no such command or it hangs."""
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=COMMAND_LIMIT_S,
                check=False,
                env=environment,
            )
        except (OSError, ValueError, subprocess.SubprocessError):
            return None
        return done.stdout.decode("utf-8", errors="replace")


def architecture_name(machine: str) -> str:
    """The name that releases use: amd64 for x86_64, arm64 for aarch64, any other as it is."""
    return ARCHITECTURES.get(machine, machine)


def whole(text: str | None) -> int | None:
    """A whole number, or None for any other text."""
    stripped = (text or "").strip()
    return int(stripped) if stripped.isascii() and stripped.isdigit() else None


def mib(size_bytes: int | None) -> int | None:
    """Whole MiB of a number of bytes; None stays None."""
    return None if size_bytes is None else size_bytes // (1024 * 1024)


def known(text: str | None) -> str | None:
    """A value as a tool prints it; None for the ways in which tools say that there is none."""
    stripped = (text or "").strip()
    return None if not stripped or stripped.strip("[]").lower() in ("n/a", "not supported", "unknown error") else stripped
