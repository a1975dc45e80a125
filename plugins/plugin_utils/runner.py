"""Measuring: one thread per machine, strictly one request at a time on it; machines side by side.

The threads only measure and put events in a queue; the caller takes them in one thread, writes and displays. An event is a
mapping with ``kind``, ``machine`` and, by kind: waiting {holder}, started, warm_up {case}, request {case, number},
sample {case, number, sample}, restart {case, text}, away {case, text, note}, crashed {text}, finished.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..module_utils import residency, stream
from ..module_utils.connection import Endpoint
from .benchmark import Case, by_machine, nonce
from .machine_lock import machine_lock
from .verdict import judge, template_prefix_tokens

Event = dict[str, Any]
# Long enough for a kernel or graph to be compiled at the first decode step, short beside any answer.
WARM_UP_TOKENS = 8
# A supervisor starts a killed engine within seconds and a model loads from a warm page cache; once per engine and run.
RECOVERY_S = 30.0
RECOVERY_POLL_S = 0.5
# Nobody looks at a silent terminal for more than ten seconds.
SILENCE_S = 8.0
# After these an engine may be on its way up again.
BROKEN_OFF = ("connect", "truncated")


@dataclass(frozen=True)
class RunSettings:
    """What all samples of a run share."""

    run: str
    inventory: str
    plan_hash: str | None
    runs: int
    seed: int
    harness_version: str


@dataclass(frozen=True)
class Warmth:
    """What a warm-up left behind: the receipt it ended with, the cached template prefix, or why it failed."""

    receipt: dict[str, Any] | None = None
    prefix_tokens: int | None = None
    failed: dict[str, Any] | None = None
    final: bool = False


class Engine:
    """An engine as this run has seen it: its one connection, its latest receipt, its restarts."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.endpoint = Endpoint(case.url)
        self.latest: dict[str, Any] | None = None
        self.patience_s = RECOVERY_S

    def look(self, case: Case) -> tuple[dict[str, Any], bool]:
        """A new receipt, and whether the engine was started again since the last one that could be had."""
        receipt = residency.take(self.endpoint, case.engine, case.engine_model)
        again = bool(residency.restarted(self.latest, receipt))
        self.latest = receipt if not receipt["error"] else self.latest
        return receipt, again


class MachineWorker:
    """All cases of one machine, in order, alone on it."""

    def __init__(self, machine: str, cases: Sequence[Case], settings: RunSettings, emit: Callable[[Event], None]) -> None:
        self.machine = machine
        self.cases = cases
        self.settings = settings
        self.stop = threading.Event()
        self.engines: dict[str, Engine] = {}
        self._emit = emit

    def emit(self, kind: str, case: Case | None = None, **facts: Any) -> None:
        self._emit({"kind": kind, "machine": self.machine, "case": case.id if case else None, **facts})

    def run(self) -> None:
        """The thread's work; a mistake of ours is reported as an event and never takes other machines down."""
        try:
            with machine_lock(self.machine, lambda holder: self.emit("waiting", holder=holder), self.stop.is_set) as held:
                if held:
                    self.measure_all()
        except Exception:
            self.emit("crashed", text=traceback.format_exc())
        finally:
            for engine in self.engines.values():
                engine.endpoint.close()
            self.emit("finished")

    def measure_all(self) -> None:
        """Opening receipts of all engines, the cases, and closing receipts: a restart in between is always seen."""
        self.emit("started")
        for case in self.cases:
            if case.url not in self.engines:
                self.engines[case.url] = Engine(case)
                self.look(case)
        for case in self.cases:
            self.measure_case(case)
        for engine in self.engines.values():
            receipt = self.look(engine.case)
            if receipt["error"] and engine.latest is not None:
                self.emit("away", engine.case, text=f"it did not answer at the end of the run: {receipt['error']['message']}")

    def look(self, case: Case) -> dict[str, Any]:
        """A receipt; a restart since the last one is reported."""
        receipt, again = self.engines[case.url].look(case)
        if again:
            self.emit("restart", case, text="it was started again during the run")
        return receipt

    def measure_case(self, case: Case) -> None:
        """Warm up, then the runs; warm up again after anything that may have cooled the engine down."""
        warmth: Warmth | None = None
        for number in range(1, self.settings.runs + 1):
            if self.stop.is_set():
                return
            if warmth is None or (warmth.failed and not warmth.final):
                warmth = self.warm_up(case)
            self.emit("request", case, number=number)
            sample = self.measure(case, number, warmth)
            self.emit("sample", case, number=number, sample=sample)
            if sample["verdict"] not in ("warm", "cache_hit"):
                warmth = warmth if warmth.final else None

    def warm_up(self, case: Case) -> Warmth:
        """Unmeasured requests, each with its own nonce; waits once per engine for one that is coming up again."""
        self.emit("warm_up", case)
        record = self.warm_up_requests(case)
        if record["error"] and record["error"]["kind"] in BROKEN_OFF and self.recovered(case):
            record = self.warm_up_requests(case)
        if record["error"]:
            return Warmth(failed=record, final=record["error"]["kind"] == "timeout")
        receipt = self.look(case)
        if case.engine == "llama_cpp" and receipt["resident"] is False:
            offered = ", ".join(model["name"] for model in receipt["models"]) or "nothing"
            message = f"{case.url} serves {offered}; expected {case.engine_model}. Deploy the plan, then measure"
            return Warmth(failed={**record, "error": {"kind": "model", "message": message, "status": None}}, final=True)
        return Warmth(receipt, template_prefix_tokens(record if case.mode == "chat" else None, len(case.prompt)))

    def warm_up_requests(self, case: Case) -> dict[str, Any]:
        """Two short chats (the second shows what the template alone leaves in the cache) or one embedding."""
        record: dict[str, Any] = {}
        for number in (-1, -2) if case.mode == "chat" else (-1,):
            self.look(case)
            record = self.request(case, nonce(self.settings.seed, case.id, number), WARM_UP_TOKENS)
            if record["error"]:
                break
        return record

    def recovered(self, case: Case) -> bool:
        """Wait for an engine that went away; its patience is used up once per run, so a dead one costs it only once."""
        engine = self.engines[case.url]
        patience_s, engine.patience_s = engine.patience_s, 0.0
        if patience_s:
            self.emit("away", case, text="it did not answer", note=f"; waiting up to {patience_s:.0f} s for it")
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and not self.stop.is_set():
            if not self.look(case)["error"]:
                return True
            time.sleep(RECOVERY_POLL_S)
        return False

    def request(self, case: Case, word: str, max_tokens: int | None) -> dict[str, Any]:
        """One request of the case, the nonce on the first line, so that no cached prefix covers the prompt."""
        text = f"{word}\n{case.prompt}"
        endpoint = self.engines[case.url].endpoint
        if case.mode == "embedding":
            return stream.embed(endpoint, {"model": case.engine_model, "input": text}, case.timeout_s)
        body = {
            "model": case.engine_model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": max_tokens,
            "temperature": case.temperature,
        }
        return stream.chat(endpoint, body, case.timeout_s)

    def measure(self, case: Case, number: int, warmth: Warmth) -> dict[str, Any]:
        """One sample between two receipts; not attempted when the warm-up already failed."""
        word = nonce(self.settings.seed, case.id, number)
        before = after = None
        if warmth.failed:
            record = {**stream.new_record(), "error": warmth.failed["error"], "status": warmth.failed["status"]}
            verdict, evidence = "failed", [f"the warm-up failed: {record['error']['kind']}: {record['error']['message']}"]
        else:
            before = self.look(case)
            record = self.request(case, word, case.max_tokens)
            after = self.look(case)
            verdict, evidence = judge(record, warmth.receipt, before, after, warmth.prefix_tokens)
        return {
            **record,
            **sample_facts(case, self.settings, number, word),
            "template_prefix_tokens": warmth.prefix_tokens,
            "receipts": {"before": before, "after": after},
            "verdict": verdict,
            "evidence": evidence,
            "grade": None,
        }


def sample_facts(case: Case, settings: RunSettings, number: int, word: str) -> dict[str, Any]:
    """What is known of a sample before it is measured."""
    return {
        "schema_version": 1,
        "harness_version": settings.harness_version,
        "run": settings.run,
        "inventory": settings.inventory,
        "plan_hash": settings.plan_hash,
        "case": case.id,
        "number": number,
        "runs": settings.runs,
        "machine": case.machine,
        "host": case.host,
        "engine": case.engine,
        "managed": case.managed,
        "url": case.url,
        "model": case.model,
        "engine_model": case.engine_model,
        "alias": case.alias,
        "workload": case.alias,
        "mode": case.mode,
        "via": "engine",
        "prompt_id": case.prompt_id,
        "prompt_sha256": case.prompt_sha256,
        "settings": {
            "max_tokens": case.max_tokens,
            "temperature": case.temperature,
            "timeout_s": case.timeout_s,
            "stream": case.mode == "chat",
            "nonce": word,
            "seed": settings.seed,
            "context_tokens": case.context_tokens,
        },
    }


def run(
    cases: Sequence[Case],
    settings: RunSettings,
    take: Callable[[Event], bool],
    silent: Callable[[], None],
    silence_s: float = SILENCE_S,
) -> None:
    """Measure all cases. ``take`` gets every event and tells whether it said something about it; ``silent`` is called when
    nothing was said for a while. Both are called in this thread."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    workers = [MachineWorker(machine, group, settings, events.put) for machine, group in by_machine(cases).items()]
    for worker in workers:
        threading.Thread(target=worker.run, name=f"benchmark {worker.machine}", daemon=True).start()
    working, said = len(workers), time.monotonic()
    try:
        while working:
            try:
                event = events.get(timeout=max(0.0, said + silence_s - time.monotonic()))
                working -= event["kind"] == "finished"
                spoke = take(event)
            except queue.Empty:
                silent()
                spoke = True
            said = time.monotonic() if spoke else said
    finally:
        for worker in workers:
            worker.stop.set()
