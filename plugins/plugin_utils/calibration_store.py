"""The calibrations of an inventory, where they are kept: one file per host in build/INVENTORY/calibration."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .calibration_document import CalibrationDocument

FOLDER = "calibration"


def path_of(build: str, host: str) -> Path:
    """Where a host's calibration is kept."""
    return Path(build) / FOLDER / f"{host}.json"


def read(build: str, host: str) -> dict[str, Any] | None:
    """A host's calibration; None where there is none, or one that nobody can make use of."""
    try:
        document = json.loads(path_of(build, host).read_text(encoding="utf-8"))
        return CalibrationDocument.model_validate(document).model_dump()
    except (OSError, ValueError, ValidationError):
        return None


def read_all(build: str, hosts: Iterable[str]) -> list[dict[str, Any]]:
    """The calibrations of these hosts, of those that have one."""
    return [document for document in (read(build, host) for host in hosts) if document is not None]


def rendered(document: dict[str, Any]) -> str:
    """A document as it is kept: the same content is the same text."""
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
