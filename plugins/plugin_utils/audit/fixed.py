"""Mends to their end: what was mended is audited again, and a mend that makes something new is not kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from .check import Audit
from .finding import Finding
from .mend import mended

# A mend may need others behind it, those others again; and what is left when all were tried may have become possible.
MOST_STEPS, MOST_ROUNDS = 3, 4
# Each attempt is an audit: a large file with many mends that do harm is mended in several runs.
MOST_READ, FEWEST_AUDITS = 2_000_000, 8

# The text, what was mended in it, and what is found afterwards.
Attempt = tuple[str, list[Finding], Sequence[Finding]]


def fixed(content: bytes, found: Audit) -> tuple[str, list[Finding]]:
    """The text with the mends that can be made by rule and after which nothing is wrong that was not before. Raises YamlError."""
    text, done = mended(content, ())
    work = _Work(found, max(FEWEST_AUDITS, MOST_READ // max(1, len(text))))
    for _round in range(MOST_ROUNDS):
        waiting = [item for item in work.now if item.edits and item.file is None and _place(item) not in work.refused]
        chunks = [waiting] if waiting else []
        if not chunks or work.left <= 0:
            break
        while chunks and work.left > 0:
            chunk = chunks.pop(0)
            attempt = work.attempt(text, chunk)
            if attempt:
                text, made, work.now = attempt
                done += made
            elif len(chunk) > 1:
                middle = len(chunk) // 2
                chunks[:0] = [chunk[:middle], chunk[middle:]]
            else:
                work.refused.add(_place(chunk[0]))
    return text, done


class _Work:
    """``now``: what is found as far as it was mended. ``left``: how many audits may follow."""

    def __init__(self, found: Audit, left: int) -> None:
        self._again = found.again
        self.now: Sequence[Finding] = found.findings
        self.left = left
        self.refused: set[tuple[str, str]] = set()

    def attempt(self, text: str, chunk: Sequence[Finding]) -> Attempt | None:
        """These mends, and those of what they make; None where something new is left at the end, or nothing could be mended."""
        before, done, wanted = _counted(self.now), list[Finding](), chunk
        for _step in range(MOST_STEPS):
            text, made = mended(text.encode(), wanted)
            if not made:
                break
            done += made
            self.left -= 1
            now = self._again(text.encode()).findings
            new = _counted(now) - before
            if not new:
                return text, done, now
            wanted = [item for item in now if item.rule in new]
        return None


def _counted(findings: Iterable[Finding]) -> Counter[str]:
    """Advice is no harm: a name that is served again may have only one host, say."""
    return Counter(item.rule for item in findings if item.severity != "advice")


def _place(finding: Finding) -> tuple[str, str]:
    return finding.rule, finding.path
