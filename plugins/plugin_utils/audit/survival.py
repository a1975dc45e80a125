"""The survival matrix: which aliases are served while hosts are down, by whom, after how many attempts and seconds at most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ..litellm_release import Release
from .config import Config
from .names import Names
from .walk import Walk, Walker

# More than that is no home lab; the sets of two grow with the square.
MOST_HOSTS = 40


@dataclass(frozen=True)
class Row:
    """One name while some hosts are down. ``seconds`` None: nothing bounds them."""

    down: tuple[str, ...]
    alias: str
    served: bool
    certain: bool
    by: str | None
    host: str | None
    attempts: int
    seconds: float | None

    def plain(self) -> dict[str, Any]:
        """The row as plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"down": list(self.down)}


def survival(config: Config, release: Release, most_down: int = 2) -> list[Row]:
    """A row per set of hosts that are down (none, each, each two) and per name that clients see."""
    names = Names(config, release)
    walker = Walker(config, names, release)
    return [
        _row(alias, down, walker.walk(alias, frozenset(down))) for down in _downs(config, most_down) for alias in names.callable
    ]


def _downs(config: Config, most_down: int) -> Iterator[tuple[str, ...]]:
    hosts = sorted({item.host for item in config.models})[:MOST_HOSTS]
    for count in range(min(most_down, len(hosts)) + 1):
        yield from combinations(hosts, count)


def _row(alias: str, down: tuple[str, ...], way: Walk) -> Row:
    item = way.deployment
    seconds = None if way.seconds is None else round(way.seconds, 3)
    by = f"{way.name}: {item.model}" if item else None
    return Row(down, alias, item is not None, way.certain, by, item.host if item else None, way.attempts, seconds)


def survival_table(rows: list[Row]) -> list[str]:
    """A line per set of hosts: how many names are served, and which are not."""
    lines = []
    for down in dict.fromkeys(row.down for row in rows):
        here = [row for row in rows if row.down == down]
        lost = [row.alias for row in here if not row.served]
        luck = [row.alias for row in here if row.served and not row.certain]
        seconds = [row.seconds for row in here if row.served]
        worst = (
            "without a bound"
            if None in seconds
            else f"at most {max((item for item in seconds if item is not None), default=0.0):g} s late"
        )
        text = f"{' and '.join(down) or 'none'} down: {len(here) - len(lost)} of {len(here)} served, {worst}"
        text += f"; lost: {', '.join(lost)}" if lost else ""
        lines.append(text + (f"; by luck: {', '.join(luck)}" if luck else ""))
    return lines
