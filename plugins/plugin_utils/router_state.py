# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the router's main process wrote of itself (run/state.json), and what that says of a generation that was asked for."""

from __future__ import annotations

import json
from typing import Any

# Of a router that never ran; a file that was cut by a loss of power says no more.
NOBODY: dict[str, Any] = {
    "pid": 0,
    "launches": 0,
    "generations": [],
    "last": None,
    "refused": None,
    "router": None,
    "address": None,
}
# What an earlier version of the program does not say.
ADDED = ("router", "address")

# Of each generation.
SAID = ("revision", "folder", "program", "stage", "pid")


def router_state(text: str, revision: str, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """The state with `serving` (the generation, or None) and `verdict` on a revision: serves, refused or waits.

    With the state of `before`, a process that was there then does not count: another one was asked for.
    """
    told = _read(text)
    found = [one for one in told["generations"] if one["stage"] == "serving"]
    told["serving"] = found[0] if len(found) == 1 else None
    return {**told, "verdict": _verdict(told, revision, before)}


def _read(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
        told = {name: said.get(name) if name in ADDED else said[name] for name in NOBODY}
        told["generations"] = [{name: one[name] for name in SAID} for one in said["generations"]]
    except (ValueError, TypeError, KeyError):
        return {**NOBODY}
    return told


def _verdict(told: dict[str, Any], revision: str, before: dict[str, Any] | None) -> str:
    old = [one["pid"] for one in before["generations"]] if before else []
    starts = any(one["stage"] == "starting" for one in told["generations"])
    serving, refused = told["serving"], told["refused"]
    if serving and serving["revision"] == revision and serving["pid"] not in old and not starts:
        return "serves"
    told_anew = not before or [told["pid"], told["launches"]] != [before["pid"], before["launches"]]
    return "refused" if refused and refused["revision"] == revision and told_anew and not starts else "waits"
