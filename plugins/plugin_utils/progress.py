"""What a running benchmark says: one line per event, a heartbeat when nothing happens, an estimate of the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .benchmark import Case, by_machine, seconds, shown
from .metrics import sample_metrics


class Progress:
    """Follows the events of a run. ``clock`` gives seconds and is only replaced in tests."""

    def __init__(self, cases: Sequence[Case], runs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._runs = runs
        self._left = {machine: len(group) * runs for machine, group in by_machine(cases).items()}
        self._host = {case.id: case.host for case in cases}
        self._first: dict[str, float] = {}
        self._busy_s: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._count: dict[str, int] = {}
        self._since: dict[str, float] = {}
        self._doing: dict[str, str] = {}

    def line(self, event: Mapping[str, Any]) -> str | None:
        """The line for an event; None where it is not worth one."""
        kind, machine, case = event["kind"], event["machine"], event["case"]
        self._follow(event)
        if kind == "waiting":
            return self._stamped(f"machine {machine} is being measured by another run ({event['holder']}); waiting")
        if kind in ("restart", "away"):
            return self._stamped(f"{self._host[case]}: the engine of {case}: {event['text']}{event.get('note', '')}")
        if kind == "crashed":
            return self._stamped(f"machine {machine}: stopped by a mistake in the harness:\n{event['text']}")
        if kind == "sample":
            return self._stamped(sample_line(event["sample"]))
        return None

    def heartbeat(self) -> str:
        """What every machine is busy with, and since when."""
        now = self._clock()
        busy = [f"{what} for {now - self._since[machine]:.0f} s" for machine, what in self._doing.items()]
        return self._stamped("; ".join(busy) or "starting")

    def left_s(self) -> float | None:
        """Seconds left by the slowest machine's own pace so far; None while a machine has no pace yet."""
        needs = [self._machine_left_s(machine) for machine, count in self._left.items() if count]
        known = [need for need in needs if need is not None]
        return max(known, default=0.0) if len(known) == len(needs) else None

    def _machine_left_s(self, machine: str) -> float | None:
        """Its samples left at its mean pace; the one under way counts for what is left of that, but never for less than 0."""
        count = self._count.get(machine, 0)
        if not count:
            return None
        pace_s, under_way_s = self._busy_s[machine] / count, self._clock() - self._last[machine]
        return (self._left[machine] - 1) * pace_s + max(pace_s - under_way_s, 0.0)

    def _follow(self, event: Mapping[str, Any]) -> None:
        kind, machine = event["kind"], event["machine"]
        now = self._clock()
        if kind in ("warm_up", "request", "waiting", "started"):
            self._doing[machine] = self._activity(event)
            self._since[machine] = now
            if kind == "started":
                self._first[machine] = now
        elif kind == "sample":
            self._left[machine] -= 1
            self._count[machine] = self._count.get(machine, 0) + 1
            self._last[machine] = now
            self._busy_s[machine] = now - self._first.get(machine, self._began)
        elif kind == "finished":
            self._left[machine] = 0
            self._doing.pop(machine, None)

    def _activity(self, event: Mapping[str, Any]) -> str:
        if event["kind"] == "waiting":
            return f"machine {event['machine']}: waiting for another run"
        if event["kind"] == "started":
            return f"machine {event['machine']}: asking its engines what is loaded"
        what = "warming up" if event["kind"] == "warm_up" else f"run {event['number']}/{self._runs}"
        return f"{event['case']}: {what}"

    def _stamped(self, text: str) -> str:
        left = self.left_s()
        rest = "" if left is None else f", about {left:.0f} s left" if left else ""
        return f"[{self._clock() - self._began:5.0f} s{rest}] {text}"


def sample_line(sample: Mapping[str, Any]) -> str:
    """One finished sample: host, case, run, time, tokens, verdict."""
    head = f"{sample['host']}  {sample['case']}  run {sample['number']}/{sample['runs']}"
    if sample["error"]:
        return f"{head}  FAILED  {sample['error']['kind']}: {sample['error']['message']}"
    row = sample_metrics(sample)
    facts = [seconds(row["e2e_s"])]
    if sample["mode"] == "embedding":
        facts.append(f"dimension {shown(row['dimension'])}")
    else:
        facts += [
            f"TTFT {seconds(row['ttft_s'])}",
            f"{shown(row['completion_tokens'])} tokens",
            f"{shown(row['decode_tokens_per_s'], 0)} tokens/s",
        ]
    doubt = "" if sample["verdict"] == "warm" else f" ({'; '.join(sample['evidence'])})"
    return f"{head}  {', '.join(facts)}  {sample['verdict']}{doubt}"
