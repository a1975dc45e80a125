# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What launchctl prints, as data, and what to ask of it to bring a job to a state (launchctl(1) since macOS 10.11)."""

from __future__ import annotations

import re
from typing import NamedTuple

DOMAIN = "system"
FOLDER = "/Library/LaunchDaemons"
LABEL_PREFIX = "llm.homelab."
NAME_PREFIX = "homelab-llm-"
# Of services that were given a name without our prefix.
OTHER_PREFIX = "llm.homelab-other."
# What launchctl ends with for a job that launchd does not know: print with 113, bootout with 3 (no such process).
UNKNOWN_CODES = (3, 113)
UNKNOWN_WORDS = ("Could not find service", "No such process")
# A property of the job itself stands one tab in, those of its parts further.
PROPERTY = re.compile(r"\t(?P<name>[a-z][a-z ]*) = (?P<value>.*)")
# Newer releases say disabled or enabled, older ones true or false.
OVERRIDE = re.compile(r'\s*"(?P<label>[^"]+)" => (?P<word>disabled|enabled|true|false)')


class Job(NamedTuple):
    """A job that launchd knows: its state (running, not running, waiting, spawn scheduled …), its process, how it last ended."""

    state: str
    pid: int | None
    last_exit_code: int | None


class Wanted(NamedTuple):
    """``state``: started, stopped or absent. A ``periodic`` job need not run to be started; ``reload`` reads its plist anew;
    ``hangup`` sends SIGHUP to a job that runs and is not started again anyway."""

    state: str
    periodic: bool
    reload: bool
    hangup: bool = False


def label_of(name: str) -> str:
    """The label of a service of ours: homelab-llm-x is llm.homelab.x, any other name x is llm.homelab-other.x."""
    return LABEL_PREFIX + name[len(NAME_PREFIX) :] if name.startswith(NAME_PREFIX) else OTHER_PREFIX + name


def name_of(label: str) -> str | None:
    """The service of a label of ours; None of any other label."""
    if label.startswith(LABEL_PREFIX):
        return NAME_PREFIX + label[len(LABEL_PREFIX) :]
    return label[len(OTHER_PREFIX) :] if label.startswith(OTHER_PREFIX) else None


def target(label: str) -> str:
    """How launchctl names a job of the system."""
    return f"{DOMAIN}/{label}"


def is_unknown(code: int, said: str) -> bool:
    """Whether launchctl's failure means that launchd does not know the job."""
    return code in UNKNOWN_CODES and any(words in said for words in UNKNOWN_WORDS)


def parse_print(text: str) -> Job:
    """The job in the output of `launchctl print system/LABEL`."""
    found: dict[str, str] = {}
    for match in map(PROPERTY.fullmatch, text.splitlines()):
        if match:
            found.setdefault(match["name"], match["value"].strip())
    return Job(found.get("state", "unknown"), number(found.get("pid")), number(found.get("last exit code")))


def number(text: str | None) -> int | None:
    """The number that a value begins with (`1`, `78: EX_CONFIG`); None for none, such as `(never exited)`."""
    match = re.match(r"-?\d+", text or "")
    return int(match[0]) if match else None


def is_disabled(text: str, label: str) -> bool:
    """Whether `launchctl print-disabled system` says that a job is not started at boot."""
    matches = (OVERRIDE.match(line) for line in text.splitlines())
    return any(match["label"] == label and match["word"] in ("disabled", "true") for match in matches if match)


def decide(wanted: Wanted, job: Job | None, disabled: bool) -> list[str]:
    """The subcommands of launchctl that bring a job to its state, in their order; none when it is there. ``job`` None: unknown.

    A loaded job that is kept alive cannot be stopped, only taken out; a disabled one is not taken in again at boot.
    """
    if wanted.state == "absent":
        return (["bootout"] if job else []) + (["enable"] if disabled else [])
    if wanted.state == "stopped":
        return (["bootout"] if job else []) + ([] if disabled else ["disable"])
    steps = ["enable"] if disabled else []
    if job is None:
        return [*steps, "bootstrap"]
    if wanted.reload:
        return [*steps, "bootout", "bootstrap"]
    if job.pid and wanted.hangup:
        return [*steps, "kill"]
    return steps if job.pid or wanted.periodic else [*steps, "kickstart"]
