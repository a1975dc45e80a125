# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of an engine as lines: a file with what was rotated away from it, or the journal of a systemd unit.

Logs of busy servers are long, and nearly all of them is of requests: only lines that may tell of memory are given on, or those
that another pattern asks for.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from typing import Iterable, Iterator

# What `engine_memory` understands holds one of these.
TELLING = re.compile(
    r"MiB|GiB|KiB| B\"|loaded meta data|starting (?:llama-server|runner)|llama_context: |sched_reserve: |fitting params"
    r"|load_model: loading model '|common_fit_|CLIP using|graph splits|offloaded |[Ff]lash.?[Aa]tt|prompt cache is"
    r"|Operation:commit"
)
# supervisord keeps three (supervisor_config); others may keep more.
ROTATED = 9
# The journal of a unit may go back for months; a model that is loaded now is searched among so many lines.
JOURNAL_LINES = 500_000
JOURNAL_LIMIT_S = 60.0


def telling(lines: Iterable[str], pattern: re.Pattern[str] = TELLING) -> Iterator[str]:
    """The lines that may tell of memory, or those of another pattern."""
    return (line for line in lines if pattern.search(line))


def file_lines(path: str, pattern: re.Pattern[str] = TELLING) -> Iterator[str]:
    """The telling lines of a log and of its rotated predecessors (``path.1`` is the newest of them), oldest first.

    Raises OSError where the log itself cannot be read; a predecessor that is not there is none.
    """
    for number in range(ROTATED, 0, -1):
        if os.access(f"{path}.{number}", os.R_OK):
            yield from _lines_of(f"{path}.{number}", pattern)
    yield from _lines_of(path, pattern)


def _lines_of(path: str, pattern: re.Pattern[str]) -> Iterator[str]:
    with open(path, encoding="utf-8", errors="replace") as log:
        yield from telling(log, pattern)


def journal_command(unit: str, pid: int | None) -> list[str]:
    """journalctl's words for what a unit wrote since the machine was started; of one process where it is known."""
    words = ["journalctl", "--unit", f"{unit}.service", "--boot", "--output", "cat", "--no-pager", "--quiet"]
    return [*words, "--lines", str(JOURNAL_LINES), *([f"_PID={pid}"] if pid else [])]


def journal_lines(
    unit: str, pid: int | None = None, limit_s: float = JOURNAL_LIMIT_S, pattern: re.Pattern[str] = TELLING
) -> Iterator[str]:
    """The telling lines of a unit's journal, oldest first. Raises OSError where there is no journalctl or it fails."""
    nothing, ends = subprocess.DEVNULL, time.monotonic() + limit_s
    with subprocess.Popen(
        journal_command(unit, pid), stdin=nothing, stdout=subprocess.PIPE, stderr=nothing, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            if pattern.search(line):
                yield line
            if time.monotonic() > ends:
                process.kill()
                raise OSError(f"journalctl took longer than {limit_s:.0f} s for {unit}")
    if process.returncode:
        raise OSError(f"journalctl ended with {process.returncode} for {unit}")
