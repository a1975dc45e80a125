"""What an audit says: findings, the rules that make them, and what a rule is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..litellm_release import ALL, Range, Release
from ..problems import Path, dotted
from ..yaml_document import Document
from .config import Config
from .guesses import Guesses
from .names import Names
from .walk import Walker

# From the worst on.
SEVERITIES = ("error", "warning", "advice")


@dataclass(frozen=True)
class Edit:
    """A mechanical mend: the value at ``path`` becomes ``value``, goes when ``remove`` is set, or gets the key ``rename``."""

    path: Path
    value: Any = None
    remove: bool = False
    rename: str | None = None


@dataclass(frozen=True)
class Found:
    """What a rule says about one place. ``why`` is the rule's unless this place has a reason of its own."""

    path: Path
    got: str
    expected: str
    mend: str
    why: str | None = None
    edits: tuple[Edit, ...] = ()
    line: int | None = None


@dataclass(frozen=True)
class Finding:
    """Something wrong in a file, as `audit.json` has it."""

    rule: str
    severity: str
    path: str
    line: int | None
    got: str
    expected: str
    why: str
    mend: str
    versions: str
    file: str | None = field(default=None, compare=False)
    edits: tuple[Edit, ...] = field(default=(), compare=False, repr=False)

    def plain(self) -> dict[str, Any]:
        """The finding as plain data: rule, severity, path, line, got, expected, why, mend, versions."""
        names = ("rule", "severity", "path", "line", "got", "expected", "why", "mend", "versions")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Subject:
    """What a rule is shown: the configuration, the release that runs it, and what else the asker knows."""

    document: Document
    config: Config
    release: Release
    # Names of variables that the proxy's process has, as far as they are known.
    environment: frozenset[str] = frozenset()
    # Whether those are all of them, so that a name that is not among them is missing.
    environment_whole: bool = False
    stack: Stack | None = None
    fleet: FleetView | None = None

    @cached_property
    def names(self) -> Names:
        """Which name leads to which deployments."""
        return Names(self.config, self.release)

    @cached_property
    def guesses(self) -> Guesses:
        """What misspelt names were meant to be."""
        return Guesses()

    @cached_property
    def walker(self) -> Walker:
        """What happens to a request while hosts are down."""
        return Walker(self.config, self.names, self.release)


@dataclass(frozen=True)
class Stack:
    """A compose or stack file beside the configuration, and the services in it that run LiteLLM: name -> service."""

    document: Document
    services: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class FleetView:
    """What an inventory tells about the hosts of a configuration.

    ``hosts``: lower-case host name or address, with or without port -> inventory host. ``resident``: inventory host -> names
    of models that are always loaded. ``refusals``: what the plan of the configuration's deployments on these hosts says: path,
    got, expected, mend. ``unknown``: path, model and host of deployments whose model the inventory does not declare.
    """

    hosts: Mapping[str, str]
    resident: Mapping[str, frozenset[str]]
    refusals: tuple[tuple[Path, str, str, str], ...] = ()
    unknown: tuple[tuple[Path, str, str], ...] = ()


Look = Callable[[Subject], Iterable[Found]]


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong. ``look`` names its places; it is asked only for releases in ``versions``."""

    id: str
    severity: str
    why: str
    look: Look
    versions: Range = ALL

    def findings(self, subject: Subject) -> list[Finding]:
        """What it finds in a configuration."""
        if subject.release not in self.versions:
            return []
        return [self._finding(subject, found) for found in self.look(subject)]

    def _finding(self, subject: Subject, found: Found) -> Finding:
        return Finding(
            rule=self.id,
            severity=self.severity,
            path=dotted(found.path),
            line=found.line if found.line is not None else subject.document.line(found.path),
            got=found.got,
            expected=found.expected,
            why=found.why or self.why,
            mend=found.mend,
            versions=str(self.versions),
            edits=found.edits,
        )


def rule(name: str, severity: str, why: str, versions: Range = ALL) -> Callable[[Look], Rule]:
    """Makes a rule of the function below it."""
    return lambda look: Rule(name, severity, why, look, versions)
