# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemctl prints, as data."""

from __future__ import annotations

from typing import NamedTuple

PROPERTIES = ("Id", "ActiveState", "MainPID")
SUFFIX = ".service"


class Unit(NamedTuple):
    """One unit: name without suffix, its ActiveState (active, inactive, failed …), its main process or None."""

    name: str
    state: str
    pid: int | None


def without_suffix(name: str) -> str:
    """A unit's name as we call it."""
    return name[: -len(SUFFIX)] if name.endswith(SUFFIX) else name


def unit_names(listed: str) -> list[str]:
    """The names in the output of `systemctl list-unit-files --no-legend --plain`."""
    return [line.split()[0] for line in listed.splitlines() if line.strip()]


def parse_show(shown: str) -> list[Unit]:
    """The units in the output of `systemctl show`: blocks of NAME=value, an empty line between two units."""
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n")]
    return [
        Unit(without_suffix(block["Id"]), block.get("ActiveState", "unknown"), int(block.get("MainPID") or 0) or None)
        for block in blocks
        if "Id" in block
    ]
