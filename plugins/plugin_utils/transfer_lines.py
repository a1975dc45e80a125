"""What is said while a model is on its way to a host: a line per event, and how far it is at least every few seconds."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

EVERY_S = 10.0
# The rate is that of the latest samples within this time: a mean over hours says nothing about now.
RATE_WINDOW_S = 30.0
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class TransferLines:
    """Follows one transfer by what module_utils/transfer_progress.py writes. ``clock`` gives seconds, replaced in tests only."""

    def __init__(self, host: str, model: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.head = f"{host}: {model}"
        self._clock = clock
        self._said_s = clock()
        self._began_s = clock()
        self._told = 0
        self._phase = ""
        self._samples: deque[tuple[float, int]] = deque()
        self._state: Mapping[str, Any] = {}

    def lines(self, text: str | None) -> list[str]:
        """The lines that are due; ``text``: the file as it is now, None or unreadable where there is none."""
        self._follow(_state(text))
        events = self._state.get("events")
        new = [str(event) for event in events[self._told :]] if isinstance(events, list) else []
        self._told += len(new)
        due = [f"{self.head}: {event}" for event in new]
        if not due and self._clock() - self._said_s >= EVERY_S:
            due = [f"{self.head}: {self.standing()}"]
        if due:
            self._said_s = self._clock()
        return due

    def standing(self) -> str:
        """How far it is: per cent, sizes, rate and time left; the phase alone where no bytes are counted."""
        done, total = self._state.get("completed_bytes"), self._state.get("total_bytes")
        phase = self._phase or "working"
        if not isinstance(done, int) or not isinstance(total, int) or total <= 0:
            return f"{phase}, {duration_text(self._clock() - self._began_s)} so far"
        parts = [f"{phase}: {100 * min(done, total) // total} %", f"{size_text(done)} of {size_text(total)}"]
        rate = self._bytes_per_s()
        if rate is not None:
            parts.append(f"{size_text(rate)}/s")
            parts += [f"{duration_text((total - done) / rate)} left"] if rate > 0 else ["standing still"]
        return ", ".join(parts)

    def _follow(self, state: Mapping[str, Any] | None) -> None:
        if state is None:
            return
        self._state = state
        phase, at_s, done = str(state.get("phase") or ""), state.get("at_s"), state.get("completed_bytes")
        if phase != self._phase:
            self._phase, self._began_s = phase, self._clock()
            self._samples.clear()
        if not isinstance(at_s, (int, float)) or not isinstance(done, int):
            return
        if self._samples and (done < self._samples[-1][1] or at_s < self._samples[-1][0]):
            self._samples.clear()
        if not self._samples or at_s > self._samples[-1][0]:
            self._samples.append((float(at_s), done))
        while len(self._samples) > 2 and self._samples[-1][0] - self._samples[0][0] > RATE_WINDOW_S:
            self._samples.popleft()

    def _bytes_per_s(self) -> float | None:
        """None while there are not two samples to compare."""
        if len(self._samples) < 2:
            return None
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        return (last - first) / (last_s - first_s)


def _state(text: str | None) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def size_text(size_bytes: float) -> str:
    """A size with its unit: 512 B, 15.3 MiB."""
    value, power = float(size_bytes), 0
    while value >= 1023.95 and power < len(UNITS) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.0f} B" if power == 0 else f"{value:.1f} {UNITS[power]}"


def duration_text(duration_s: float) -> str:
    """A time in its two largest units: 48 s, 3 min 5 s, 2 h 10 min."""
    seconds = max(0, round(duration_s))
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
