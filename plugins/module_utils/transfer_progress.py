# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a transfer is, in a small file that somebody else reads while it is written; and how long it may take."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any, Callable

WRITE_EVERY_S = 1.0
MAX_EVENTS = 50
# Without a byte for so long a transfer is broken off and begun again where it ended.
STALL_S = 60.0
# So often in a row a transfer may break off without a new byte.
ATTEMPTS = 5
PAUSE_S = 3.0


class ModelProblem(Exception):
    """Something that stops the work on a model; the message says what to do."""


class Limits:
    """How long things may take. ``total_s``: all together from now on; the rest as the constants of this file."""

    def __init__(self, total_s: float, stall_s: float = STALL_S, attempts: int = ATTEMPTS, pause_s: float = PAUSE_S) -> None:
        self.total_s = total_s
        self.stall_s = stall_s
        self.attempts = attempts
        self._pause_s = pause_s
        self._ends_s = time.monotonic() + total_s

    def left_s(self) -> float:
        """Seconds that are left. Raises ModelProblem when there are none."""
        left_s = self._ends_s - time.monotonic()
        if left_s <= 0:
            raise ModelProblem(f"was not done within {self.total_s:g} s; run again, what was fetched is kept, or raise timeout_s")
        return left_s

    def silence_s(self) -> float:
        """Seconds to wait for the next byte. Raises ModelProblem when none are left."""
        return min(self.stall_s, self.left_s())

    def pause(self, failures: int) -> None:
        """Wait before the next attempt, longer after each failure."""
        time.sleep(min(self._pause_s * 2 ** max(0, failures - 1), self.left_s()))


class Progress:
    """Writes ``{"phase", "completed_bytes", "total_bytes", "at_s", "events"}`` to ``path``; to nothing where it is None.

    ``at_s``: seconds of a clock that only counts on; ``events``: what happened so far, in sentences. The file is replaced as a
    whole, only its owner may read it, and ``close`` removes it.
    """

    def __init__(self, path: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._written_s: float | None = None
        self._state: dict[str, Any] = {"phase": "", "completed_bytes": None, "total_bytes": None, "events": []}

    def event(self, text: str) -> None:
        """Something that is worth a line."""
        self._state["events"] = [*self._state["events"], text][:MAX_EVENTS]
        self._write()

    def begin(self, phase: str, total_bytes: int | None = None, completed_bytes: int = 0) -> None:
        """What is done from now on, and how many bytes that are."""
        self._state.update(phase=phase, total_bytes=total_bytes, completed_bytes=completed_bytes if total_bytes else None)
        self._write()

    def moved(self, completed_bytes: int) -> None:
        """How many bytes of the present phase are done."""
        self._state["completed_bytes"] = completed_bytes
        if self._written_s is None or self._clock() - self._written_s >= WRITE_EVERY_S:
            self._write()

    def close(self) -> None:
        if self._path is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    def _write(self) -> None:
        if self._path is None:
            return
        self._written_s = self._clock()
        unfinished = f"{self._path}.unfinished"
        # A transfer does not fail because nobody can see how far it is.
        with contextlib.suppress(OSError):
            number = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(number, "w", encoding="utf-8") as stream:
                json.dump({**self._state, "at_s": self._written_s}, stream)
            os.replace(unfinished, self._path)
