"""Plain data out of the containers that Ansible hands over: no tags, no lazy templates, no subclasses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """Any nested container as plain dict, list and scalars."""
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    # Dates and bytes, which YAML makes of plain text: shown as text, and refused by the schema.
    return str(value)
