"""How a mistake in the intent is said: where, what was got, what was expected, what to do.

A problem is found by its path through the inventory's variables; the door that knows which file a value came from
passes a ``locate`` function, so that the thinking needs neither Ansible nor files.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Path = tuple[str | int, ...]
Locate = Callable[[Path], str | None]
# Longer words are nobody's slip of the pen, and comparing them takes seconds.
LONGEST_WORD = 64


@dataclass(frozen=True)
class Problem:
    """One mistake. ``path`` begins with the variable, or with ``hosts``, host name and ``llm_host``."""

    path: Path
    got: str
    expected: str
    remedy: str

    def sentence(self, locate: Locate | None = None) -> str:
        """The problem as one line; begins with file, line and column where ``locate`` knows them."""
        place = locate(self.path) if locate else None
        key = dotted(self.path)
        where = f"{place}: {key}" if place else key
        return f"{where}: got {self.got}; expected {self.expected}. {self.remedy}"


class IntentError(ValueError):
    """The inventory asks for something that cannot be. Carries every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.report())

    def report(self, locate: Locate | None = None) -> str:
        """All problems, one per line."""
        return "\n".join(problem.sentence(locate) for problem in self.problems)


def dotted(path: Path) -> str:
    """``("llm_assignments", "coding", 0, "host")`` -> ``llm_assignments.coding[0].host``."""
    text = ""
    for part in path:
        plain = isinstance(part, str) and part.isprintable() and part.strip() == part != ""
        text += f"[{part!r}]" if not plain else f".{part}" if text else str(part)
    return text


def shown(value: object) -> str:
    """A value as a message shows it: short, with its type where the type is the point, and without what opens an address."""
    text = re.sub(r"(?<=//)[^/\s'\"]*@|(?<=\?)[^\s'\"]*=[^\s'\"]*", "…", repr(value))
    kind = {"str": "text", "int": "number", "float": "number", "dict": "mapping", "NoneType": "nothing"}
    name = kind.get(type(value).__name__, type(value).__name__)
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({name})"


def suggestion(word: object, known: Iterable[str]) -> str:
    """``Did you mean X? Known: …`` for a name that is not in ``known``."""
    names = sorted(known)
    short = [name for name in names if len(name) <= LONGEST_WORD]
    close = difflib.get_close_matches(str(word), short, n=1) if len(str(word)) <= LONGEST_WORD else []
    hint = f"Did you mean {close[0]}? " if close else ""
    return f"{hint}Known: {', '.join(names) or 'none'}."
