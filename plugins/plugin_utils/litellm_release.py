"""Releases of LiteLLM: their order, the ranges that a rule holds for, and what is known to be wrong with a release itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A candidate or a nightly build counts as the release that it was to become: 1.83.0rc1, 1.83.0-nightly, v1.83.0-stable.
# 1.109 is its first patch.
RELEASE = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,6}))?(?:[.-]?[A-Za-z][A-Za-z0-9.-]*)?")


@dataclass(frozen=True, order=True)
class Release:
    """A version of LiteLLM as three numbers."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def parse_release(text: str) -> Release:
    """Raises ValueError with what was got and expected."""
    match = RELEASE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"got the LiteLLM version {text[:40]!r}; expected one such as 1.106.2")
    return Release(*(int(part or 0) for part in match.groups()))


@dataclass(frozen=True)
class Range:
    """Releases from ``since`` on up to ``until`` itself; None: no bound."""

    since: Release | None = None
    until: Release | None = None

    def __contains__(self, release: object) -> bool:
        if not isinstance(release, Release):
            return False
        return (self.since is None or self.since <= release) and (self.until is None or release <= self.until)

    def __str__(self) -> str:
        if self.since and self.until:
            return str(self.since) if self.since == self.until else f"{self.since} to {self.until}"
        return f"from {self.since} on" if self.since else f"up to {self.until}" if self.until else "all"


def releases(since: str | None = None, until: str | None = None) -> Range:
    """A range from its texts."""
    return Range(parse_release(since) if since else None, parse_release(until) if until else None)


ALL = Range()
