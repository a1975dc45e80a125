"""Calibrations as a person reads them in a terminal, beside the plan that they were made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .calibrated import SETTINGS
from .plan_table import table

WIDTHS = {"predicted_mib": 13, "actual_mib": 9, "error_mib": 9, "error_pct": 7}
HEADING = ("host", "model", "memory", "part", "predicted MiB", "taken MiB", "error MiB", "error %", "")


def calibration_table(documents: Sequence[Mapping[str, Any]]) -> str:
    """Every part of every model, a line of sums for each, and what is to be said about it. Empty where there is nothing."""
    rows: list[Sequence[str]] = []
    for document in documents:
        for model in document["models"]:
            rows += [_line(document["host"], model["model"], item) for item in model["parts"]]
            if model["actual_mib"] is not None:
                rows.append(
                    _line(document["host"], model["model"], {**model, "memory": "", "part": "sum", "note": _verdict(model)})
                )
    told = [
        f"note: {document['host']}, {model['model']}: {note}"
        for document in documents
        for model in document["models"]
        for note in model["notes"]
    ]
    return "\n".join([*(table([HEADING, *rows]) if rows else []), *told])


def _line(host: str, model: str, item: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = (_number(item[key]).rjust(width) for key, width in WIDTHS.items())
    return (host, model, item["memory"], item["part"], *numbers, item["note"] or "")


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"


def _verdict(model: Mapping[str, Any]) -> str:
    bound = "" if model["bound"] == "exact" else " (the plan's figures are bounds)"
    return {True: f"agrees{bound}", False: "does not agree", None: ""}[model["agrees"]]


def findings(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for every part that does not agree."""
    return [
        f"{document['host']}: {item['part']} of {model['model']} in {item['memory']} took {item['actual_mib']:.1f} MiB, "
        f"predicted were {item['predicted_mib']:.1f}"
        for document in documents
        for model in document["models"]
        for item in model["parts"]
        if item["agrees"] is False
    ]


def beside(plan: Mapping[str, Any], documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What earlier documents say of models for which this plan predicts the same."""
    found = []
    for document in documents:
        host = plan["hosts"].get(document["host"])
        if host is not None and document["inventory"] == plan["inventory"]:
            resident = {item["model"]: item for item in host["resident"]}
            models = [model for model in document["models"] if _same(model, resident.get(model["model"]))]
            found += [{**document, "models": models}] if models else []
    return found


def _same(model: Mapping[str, Any], resident: Mapping[str, Any] | None) -> bool:
    return (
        resident is not None
        and model["settings"] == {key: resident[key] for key in SETTINGS}
        and model["planned_mib"] == resident["fit"]["total_mib"]
    )
