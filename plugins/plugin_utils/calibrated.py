"""From the plan and what engines say of their loaded models to one document per host: predicted and real memory, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..module_utils.engine_memory import COMPUTE, HOST, KV_CACHE, OUTPUT, STATE, WEIGHTS, Buffer, LoadReport
from .calibration import TOLERATED_MIB, TOLERATED_SHARE, PartError, compare

SCHEMA_VERSION = 1
SETTINGS = ("context_tokens", "parallel", "kv_type", "batch_tokens")
# What /api/ps is the sum of, by the engine's intention.
SHOWN_PARTS = (WEIGHTS, KV_CACHE, STATE, COMPUTE, OUTPUT)
OVERHEAD = "overhead"
# No log tells these, and the last two grow with use.
UNTOLD = {
    OVERHEAD: "what the process takes beside its buffers: no log tells it",
    "prompt_cache": "grows with use, at most to this",
    "checkpoint": "grows with use, at most to this",
}
GROWS = "as it is after the load; it grows with the texts that come, at most to the prediction"
TWICE = (
    "the log says {0.actual_mib:.1f}: {0.twice_mib:.1f} of it may be pages of the file whose content was copied into another "
    "order, and which may go"
)
SHOWN_GAPS = "/api/ps leaves out projectors and all but one of several caches that print alike (sliding windows)"

Reading = Mapping[str, Any]
Rows = list[dict[str, Any]]


def calibrated(
    plan: Mapping[str, Any], host: str, readings: Mapping[str, Reading], previous: Any = None
) -> dict[str, Any] | None:
    """A host's calibration as plain data (`calibration_document.CalibrationDocument`); None where nothing is known.

    ``readings``: model -> what `memory_info` returned. ``previous``: the document that is there. Its measurement of a model
    with the same settings is kept where there is no new one: the log may not reach back to the load any more.
    """
    if not readings:
        return None
    entry = plan["hosts"][host]
    known = _known(previous, plan["inventory"])
    models = []
    for resident in entry["resident"]:
        fresh = _model(resident, entry["accelerators"], readings.get(resident["model"]) or {})
        models.append(_kept(known.get(resident["model"]), fresh))
    if all(model["actual_mib"] is None for model in models):
        return None
    return {
        "schema_version": SCHEMA_VERSION,
        "inventory": plan["inventory"],
        "host": host,
        "engine": entry["engine"],
        "tolerance": {"share": TOLERATED_SHARE, "mib": TOLERATED_MIB},
        "models": models,
    }


def _known(document: Any, inventory: str) -> dict[str, dict[str, Any]]:
    """The models of a document of this inventory and schema, by name."""
    if not isinstance(document, dict) or (document.get("schema_version"), document.get("inventory")) != (
        SCHEMA_VERSION,
        inventory,
    ):
        return {}
    return {model["model"]: model for model in document["models"]}


def _kept(previous: dict[str, Any] | None, fresh: dict[str, Any]) -> dict[str, Any]:
    same = previous is not None and previous["settings"] == fresh["settings"]
    return previous if previous is not None and same and fresh["actual_mib"] is None else fresh


def _model(resident: Mapping[str, Any], accelerators: Sequence[Mapping[str, Any]], reading: Reading) -> dict[str, Any]:
    report = report_of(reading.get("report"))
    notes = list(reading.get("notes") or [] if reading else ["was not asked"])
    shown_mib = reading.get("shown_mib")
    agrees = None
    if report:
        told = [_row(error, resident) for error in _errors(resident["fit"]["pools"], accelerators, report)]
        agrees = all(item["agrees"] is not False for item in told)
        rows = [*told, *_untold(resident["fit"]["pools"], accelerators, report, reading.get("gpus"))]
        notes += [f"/api/ps shows {shown_mib:.1f} MiB: {SHOWN_GAPS}"] if shown_mib is not None else []
    else:
        rows = _shown(resident["fit"]["pools"], shown_mib)
    return {
        "model": resident["model"],
        "engine_model": resident["engine_model"],
        "settings": {key: resident[key] for key in SETTINGS},
        "bound": resident["fit"]["bound"],
        "planned_mib": resident["fit"]["total_mib"],
        "agrees": agrees,
        **_sums(rows, resident["fit"]["total_mib"]),
        "parts": rows,
        "notes": notes,
    }


def report_of(plain: Mapping[str, Any] | None) -> LoadReport | None:
    """The report of a load out of the plain data that a host sent."""
    if not plain:
        return None
    buffers = {key: tuple(Buffer(**buffer) for buffer in plain[key]) for key in ("buffers", "layout")}
    return LoadReport(**{**plain, **buffers})


def _errors(pools: Rows, accelerators: Sequence[Mapping[str, Any]], report: LoadReport) -> list[PartError]:
    """The comparison, with the plan's names for the engine's devices."""
    names = _names(pools, accelerators, report)
    devices = {name: device for device, name in names.items()}
    predicted = {devices.get(name, name): _parts(pool) for name, pool in ((str(pool["name"]), pool) for pool in pools)}
    return [replace(error, device=names.get(error.device, error.device)) for error in compare(predicted, report)]


def _parts(pool: Mapping[str, Any]) -> dict[str, float]:
    return {key.removesuffix("_mib"): value for key, value in pool.items() if key.endswith("_mib") and value is not None}


def _names(pools: Rows, accelerators: Sequence[Mapping[str, Any]], report: LoadReport) -> dict[str, str]:
    """The engine's device -> the plan's name: in the order in which both count them."""
    graphic = [item["name"] for item in accelerators if item["kind"] != "cpu"]
    ram = next((item["name"] for item in accelerators if item["kind"] == "cpu"), HOST)
    used = [pool["name"] for pool in pools if pool["name"] in graphic]
    told = _devices(report)
    # A process that sees one card of two calls it the first.
    counted = used if len(used) == len(told) else graphic
    return {HOST: ram, **dict(zip(told, counted, strict=False))}


def _devices(report: LoadReport) -> list[str]:
    devices = {buffer.device for buffer in report.account} - {HOST}
    return sorted(devices, key=lambda name: (name.rstrip("0123456789"), len(name), name))


def _row(error: PartError, resident: Mapping[str, Any]) -> dict[str, Any]:
    bound = resident["fit"]["bound"]
    grows = error.grows and resident["mode"] == "embedding"
    predicted = None if not error.predicted_mib and bound in ("declared", None) else error.predicted_mib
    found = row(error.device, error.part, predicted, error.needed_mib, "log", TWICE.format(error) if error.twice_mib else None)
    if predicted is not None:
        found["agrees"] = replace(error, grows=grows or bound != "exact").agrees()
    if grows and error.error_mib > 0:
        # What it is and what it grows to are two things: no error.
        found.update(error_mib=None, error_pct=None, note=GROWS)
    return found


def row(
    memory: str, part: str, predicted: float | None, actual: float | None, source: str | None, note: str | None
) -> dict[str, Any]:
    """One part, its error worked out. MiB to the hundredth."""
    error = None if predicted is None or actual is None else predicted - actual
    return {
        "memory": memory,
        "part": part,
        "predicted_mib": _rounded(predicted),
        "actual_mib": _rounded(actual),
        "error_mib": _rounded(error),
        "error_pct": None if error is None or not actual else round(100 * error / actual, 1),
        "source": source,
        "agrees": None,
        "note": note,
    }


def _untold(
    pools: Rows, accelerators: Sequence[Mapping[str, Any]], report: LoadReport, gpus: Sequence[Mapping[str, Any]] | None
) -> Iterator[dict[str, Any]]:
    """Parts that no log tells; of a process on a GPU the driver knows the whole, so that the rest is its overhead."""
    names, told = _names(pools, accelerators, report), _devices(report)
    measured = dict(zip((names.get(device, device) for device in told), _rests(report, told, gpus), strict=True))
    for pool in pools:
        for part, note in UNTOLD.items():
            actual = measured.get(pool["name"]) if part == OVERHEAD else None
            if pool[f"{part}_mib"] or actual is not None:
                found = actual is not None
                yield row(
                    pool["name"], part, pool[f"{part}_mib"], actual, "nvidia-smi" if found else None, None if found else note
                )


def _rests(report: LoadReport, told: Sequence[str], gpus: Sequence[Mapping[str, Any]] | None) -> list[float | None]:
    if gpus is None or len(gpus) != len(told):
        return [None] * len(told)
    buffers = [sum(report.parts_mib()[device].values()) for device in told]
    return [None if gpu["used_mib"] is None else gpu["used_mib"] - mib for gpu, mib in zip(gpus, buffers, strict=True)]


def _shown(pools: Rows, shown_mib: float | None) -> Rows:
    """Without a log: every part as predicted, and the one figure that Ollama shows beside what it is meant to be."""
    rows = [
        row(pool["name"], part, mib, None, None, UNTOLD.get(part)) for pool in pools for part, mib in _parts(pool).items() if mib
    ]
    rows = [item for item in rows if item["part"] != "total"]
    if shown_mib is None:
        return rows
    told = [item["predicted_mib"] for item in rows if item["part"] in SHOWN_PARTS]
    return [*rows, row("all", "total", sum(told) if told else None, shown_mib, "/api/ps", SHOWN_GAPS)]


def _sums(rows: Rows, planned_mib: float | None) -> dict[str, float | None]:
    known = [item for item in rows if item["error_mib"] is not None]
    taken = [item["actual_mib"] for item in known or rows if item["actual_mib"] is not None]
    predicted = sum(item["predicted_mib"] for item in known) if known else planned_mib if taken else None
    total = row("", "", predicted, sum(taken) if taken else None, None, None)
    return {key: total[key] for key in ("predicted_mib", "actual_mib", "error_mib", "error_pct")}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
