"""What a word that nobody knows was meant to be: a name that looks alike, looked for no longer than it is of use."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from itertools import islice

from ..problems import LONGEST_WORD

# A message names no more than that.
MOST_NAMES = 30
# Comparing words is slow, and nobody reads more suggestions than that in one file.
MOST_GUESSES = 50
# How alike two words are, of 1; difflib's own default.
ALIKE = 0.6


class Guesses:
    """The suggestions of one audit. A word is looked for once, and after so many words no more."""

    def __init__(self) -> None:
        # The names are kept, so that no others get their identity.
        self._found: dict[tuple[str, int, float], tuple[Collection[str], str | None]] = {}

    def near(self, word: object, names: Collection[str], alike: float = ALIKE, few: bool = False) -> str | None:
        """The name that looks most like a word; None: there is none, or too much was asked for already.

        ``few``: only some names that begin like the word are compared.
        """
        key = (str(word), id(names), alike)
        if key not in self._found:
            if len(self._found) >= MOST_GUESSES or len(key[0]) > LONGEST_WORD:
                return None
            short = sorted(name for name in (_beginning_like(key[0], names) if few else names) if len(name) <= LONGEST_WORD)
            self._found[key] = names, next(iter(difflib.get_close_matches(key[0], short, n=1, cutoff=alike)), None)
        return self._found[key][1]

    def meant(self, word: str, known: Collection[str]) -> str:
        """``Did you mean X? Known: …``; of very many names only the nearest of those that look alike."""
        many = len(known) > MOST_NAMES
        near = self.near(word, known, few=many)
        hint = f"Did you mean {near}? " if near else ""
        if many:
            return hint.rstrip() or f"It is none of the {len(known)} that are known."
        return f"{hint}Known: {', '.join(sorted(known)) or 'none'}."


def _beginning_like(word: str, names: Iterable[str]) -> Iterable[str]:
    return islice((name for name in names if abs(len(name) - len(word)) <= 2 and name[:1] == word[:1]), MOST_NAMES)


def distance(one: str, other: str, most: int) -> int:
    """Letters to add, drop, change or swap with their neighbour; beyond ``most`` it is not counted further."""
    one, other = _without_common(one, other)
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        line = [row]
        for column, wanted in enumerate(other, 1):
            cost = min(last[column] + 1, line[-1] + 1, last[column - 1] + (letter != wanted))
            if row > 1 and column > 1 and (letter, one[row - 2]) == (other[column - 2], wanted):
                cost = min(cost, before[column - 2] + 1)
            line.append(cost)
        if min(line) > most and min(last) > most:
            return most + 1
        before, last = last, line
    return last[-1]


def _without_common(one: str, other: str) -> tuple[str, str]:
    """Two words without what both begin and end with."""
    begin = _common(one, other)
    end = _common(one[begin:][::-1], other[begin:][::-1])
    return one[begin : len(one) - end], other[begin : len(other) - end]


def _common(one: str, other: str) -> int:
    """How many letters both begin with."""
    differ = (number for number, (left, right) in enumerate(zip(one, other, strict=False)) if left != right)
    return next(differ, min(len(one), len(other)))
