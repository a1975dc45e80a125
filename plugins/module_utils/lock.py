# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock: the text of a requirements file in which every package has one version and its hashes."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*==\s*(?P<version>[^\s;\\]+)\s*(?P<rest>.*)$")


class LockError(ValueError):
    """The text is not a lock; the message says which line, what was expected and what to do."""


class Pin(NamedTuple):
    """One package of a lock: normalized name, version, and the marker that limits it to some platforms ("" for none)."""

    name: str
    version: str
    marker: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}" + (f" ; {self.marker}" if self.marker else "")


def normalized(name: str) -> str:
    """A package's name as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def digest(text: str) -> str:
    """sha256 of the lock as 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def logical_lines(text: str) -> list[str]:
    """The lines of a requirements file with continuations joined and comments left out."""
    joined = re.sub(r"\\\r?\n", " ", text)
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def parse(text: str) -> list[Pin]:
    """The packages of a lock, sorted by name. Raises LockError when a line is no pin or has no sha256."""
    pins = [parse_line(line) for line in logical_lines(text)]
    if not pins:
        raise LockError("the lock names no package; expected lines `name==version --hash=sha256:…`")
    return sorted(pins)


def parse_line(line: str) -> Pin:
    """One logical line as a Pin."""
    requirement, *hashes = re.split(r"\s+--hash=", line)
    match = PIN.match(requirement)
    if match is None:
        raise LockError(f"the lock has a line that pins no package: {requirement!r}; expected `name==version --hash=sha256:…`")
    if not hashes or not all(re.fullmatch(r"sha256:[0-9a-f]{64}\s*", text) for text in hashes):
        raise LockError(f"the lock has no sha256 for {requirement!r}; compile it with `uv pip compile --generate-hashes`")
    return Pin(normalized(match["name"]), match["version"], match["rest"].lstrip("; ").strip())


def versions(pins: list[Pin]) -> dict[str, str]:
    """Names and versions of a lock, markers not judged."""
    return {pin.name: pin.version for pin in pins}
