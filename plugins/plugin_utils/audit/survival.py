"""The survival matrix: which aliases are served while hosts are down, by whom, after how many attempts and seconds at most."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ..litellm_release import Release
from .config import Config
from .names import Names
from .walk import Walk, Walker

# More than that is no home lab; the sets of two grow with the square.
MOST_HOSTS = 40
MOST_ROWS = 4_000


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


def survival(config: Config, release: Release, most_down: int = 2, walker: Walker | None = None) -> list[Row]:
    """A row per set of hosts that are down (none, each, each two) and per name that clients see.

    A file that is too large for sets of two is shown for single hosts, or for its first names; see ``followed``.
    """
    known = Names(config, release)
    walker = walker or Walker(config, known, release)
    names, downs = _kept(config, most_down)
    # Of a name that stands for what this file does not have, such as a model of a database, nobody can say who answers.
    told = [alias for alias in names if known.deployments(alias) or not known.known(alias)]
    ways = ((alias, down, walker.walk(alias, frozenset(down))) for down in downs for alias in told)
    return [_row(alias, down, way) for alias, down, way in ways if not way.cut]


def followed(config: Config) -> str | None:
    """What of a large file the matrix shows, None where it shows all of it."""
    names, downs = _kept(config, 2)
    hosts = _hosts(config)
    if len(names) == len(config.callable) and len(hosts) <= MOST_HOSTS and len(downs) == len(_downs(hosts, 2)):
        return None
    sets = "sets of up to two" if len(downs) > 1 + len(hosts) else "single"
    return f"only {len(names)} of {len(config.callable)} names and {sets} hosts of the first {MOST_HOSTS} are followed"


def _kept(config: Config, most_down: int) -> tuple[list[str], list[tuple[str, ...]]]:
    """The names and sets of hosts that a file of that size is shown for."""
    hosts, names = _hosts(config)[:MOST_HOSTS], list(config.callable)
    downs = _downs(hosts, most_down)
    if len(names) * len(downs) > MOST_ROWS:
        downs = _downs(hosts, min(most_down, 1))
    return names[: MOST_ROWS // max(1, len(downs))], downs


def _hosts(config: Config) -> list[str]:
    return sorted({item.host for item in config.models})


def _downs(hosts: list[str], most_down: int) -> list[tuple[str, ...]]:
    return [down for count in range(min(most_down, len(hosts)) + 1) for down in combinations(hosts, count)]


def _row(alias: str, down: tuple[str, ...], way: Walk) -> Row:
    item = way.deployment
    seconds = None if way.seconds is None else round(way.seconds, 3)
    by = f"{way.name}: {item.model}" if item else None
    return Row(down, alias, item is not None, way.certain, by, item.host if item else None, way.attempts, seconds)


def survival_table(rows: list[Row]) -> list[str]:
    """A line per set of hosts: how many names are served, and which are not."""
    lines = []
    together: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        together.setdefault(row.down, []).append(row)
    for down, here in together.items():
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
