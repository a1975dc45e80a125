# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the residency watchdog writes: residency.json for the report, the same as metrics for Prometheus' textfile collector."""

from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping, Sequence

from .residency_state import COUNTED, State, moment, seconds_of, still_waiting
from .resident_loading import Outcome
from .resident_set import Expected, for_ever, foreign, loaded_as

SCHEMA_VERSION = 1
EVENTS_SHOWN = 20
Document = Mapping[str, Any]


def receipt_document(state: State, expected: Sequence[Expected], outcome: Outcome, url: str, now: float) -> dict[str, Any]:
    """residency.json: the engine, each expected model, foreign ones, findings, counters since ``began_at``, the last events."""
    receipt = outcome.receipt
    models = [_model(state, model, outcome, now) for model in expected]
    dead = [f"the engine does not answer: {receipt['error']['message']}"] if receipt["error"] else []
    return {
        "schema_version": SCHEMA_VERSION,
        "taken_at": moment(now),
        "began_at": moment(state.began),
        "engine": {
            "url": url,
            "up": receipt["error"] is None,
            "version": receipt["version"],
            "instance": state.instance,
            "error": receipt["error"],
        },
        "models": models,
        "foreign": [] if receipt["error"] else [dict(item) for item in foreign(expected, receipt)],
        "findings": [*dead, *(text for model in models for text in model["findings"])],
        "counters": {
            "runs": state.runs,
            "engine_restarts": state.restarts,
            **{name: sum(getattr(record, name) for record in state.records.values()) for name in COUNTED},
        },
        "last_events": state.last_events[-EVENTS_SHOWN:],
    }


def _model(state: State, model: Expected, outcome: Outcome, now: float) -> dict[str, Any]:
    record, answers = state.records[model.name], outcome.receipt["error"] is None
    found = loaded_as(model, outcome.receipt) if answers else []
    loaded: Mapping[str, Any] = found[0] if found else {}
    wrong = [still_waiting(record, finding, now) for finding in outcome.findings if finding.model == model.name]
    keys = ("digest", "context_tokens", "size_bytes", "size_vram_bytes", "expires_at")
    return {
        "name": model.name,
        "resident": (bool(found) and not wrong) if answers else None,
        "loaded": record.loaded if answers else None,
        "was_loaded": record.loaded,
        "since": moment(record.since),
        **{key: loaded.get(key) for key in keys},
        "for_ever": for_ever(loaded.get("expires_at")),
        "findings": wrong,
        **{name: getattr(record, name) for name in COUNTED},
        "kinds": record.kinds,
        "strikes": {kind: [moment(at) for at in times] for kind, times in record.strikes.items()},
        "wait_level": record.wait_level,
        "wait_until": moment(record.wait_until),
    }


# Name without the prefix, type, help, value of a model's entry.
MODEL_METRICS: tuple[tuple[str, str, str, Callable[[Document], Any]], ...] = (
    ("model_resident", "gauge", "1 where the model is loaded as planned.", lambda entry: entry["resident"]),
    ("model_loaded", "gauge", "1 where the model is loaded at all.", lambda entry: entry["loaded"]),
    ("model_memory_bytes", "gauge", "Memory of the loaded model, by the engine's word.", lambda entry: entry["size_bytes"]),
    ("model_gpu_memory_bytes", "gauge", "Part of it in GPU memory.", lambda entry: entry["size_vram_bytes"]),
    ("model_context_tokens", "gauge", "Context of one sequence.", lambda entry: entry["context_tokens"]),
    (
        "model_resident_since_timestamp_seconds",
        "gauge",
        "When the watchdog first saw it loaded, without a gap since.",
        lambda entry: seconds_of(entry["since"]),
    ),
    (
        "model_waits_until_timestamp_seconds",
        "gauge",
        "Until when it is not loaded again, after too many attempts.",
        lambda entry: seconds_of(entry["wait_until"]),
    ),
    ("model_evictions_total", "counter", "Times it was gone while the engine went on.", lambda entry: entry["evictions"]),
    ("model_losses_total", "counter", "Times it was gone for an unknown reason.", lambda entry: entry["losses"]),
    ("model_loads_total", "counter", "Times the watchdog loaded it or told it to stay.", lambda entry: entry["loads"]),
    ("model_load_failures_total", "counter", "Times that failed.", lambda entry: entry["load_failures"]),
)
PREFIX = "homelab_llm_"


def metrics_text(document: Document) -> str:
    """The document in Prometheus' text format, version 0.0.4. What is not known has no sample."""
    lines: list[str] = []
    for name, kind, explained, samples in _families(document):
        known = [(labels, value) for labels, value in samples if value is not None]
        if known:
            lines += [f"# HELP {PREFIX}{name} {explained}", f"# TYPE {PREFIX}{name} {kind}"]
            lines += [f"{PREFIX}{name}{labels} {_number(value)}" for labels, value in known]
    return "\n".join([*lines, ""])


def _families(document: Document) -> Iterator[tuple[str, str, str, list[tuple[str, Any]]]]:
    engine, counters = document["engine"], document["counters"]
    taken = seconds_of(document["taken_at"])
    yield "residency_last_run_timestamp_seconds", "gauge", "When the watchdog looked last.", [("", taken)]
    yield "residency_findings", "gauge", "How many things are not as planned.", [("", len(document["findings"]))]
    yield "residency_runs_total", "counter", "How often the watchdog looked.", [("", counters["runs"])]
    yield "engine_up", "gauge", "1 where the engine answers.", [("", engine["up"])]
    if engine["version"]:
        yield "engine_info", "gauge", "The engine's version.", [(_labels(version=engine["version"]), 1)]
    yield "engine_restarts_total", "counter", "Times the engine was started again.", [("", counters["engine_restarts"])]
    if engine["up"]:
        yield "foreign_models", "gauge", "Loaded models that nobody planned.", [("", len(document["foreign"]))]
    for name, kind, explained, value in MODEL_METRICS:
        yield name, kind, explained, [(_labels(model=entry["name"]), value(entry)) for entry in document["models"]]


def _labels(**labels: str) -> str:
    told = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(told) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: Any) -> str:
    return str(int(value)) if isinstance(value, int) or value.is_integer() else repr(value)
