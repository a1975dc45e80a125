# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemctl prints, as data."""

from __future__ import annotations

import fnmatch
import os
from typing import Iterable, NamedTuple

PROPERTIES = ("Id", "ActiveState", "MainPID")
SUFFIX = ".service"
# Where units are that were written on the machine (systemd.unit(5)); what is an instance's own is a drop-in there.
FOLDER = "/etc/systemd/system"
DROP_IN = ".service.d/instance.conf"


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


def real_units(listed: Iterable[str], drop_ins: Iterable[str], pattern: str) -> list[str]:
    """The units that can run: those of a list that are no templates, and the instances that have a drop-in and match.

    ``listed`` are names with suffix, ``drop_ins`` paths `…/NAME@INSTANCE.service.d/instance.conf`, ``pattern`` has no suffix.
    """
    plain = [name for name in listed if not name.endswith("@" + SUFFIX)]
    folders = [os.path.basename(os.path.dirname(path)) for path in drop_ins]
    instances = [folder[: -len(".d")] for folder in folders if "@" in folder]
    return sorted({*plain, *(name for name in instances if fnmatch.fnmatchcase(without_suffix(name), pattern))})


def parse_show(shown: str) -> list[Unit]:
    """The units in the output of `systemctl show`: blocks of NAME=value, an empty line between two units."""
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n")]
    return [
        Unit(without_suffix(block["Id"]), block.get("ActiveState", "unknown"), int(block.get("MainPID") or 0) or None)
        for block in blocks
        if "Id" in block
    ]
