"""Texts for generated cases.

Hypothesis' own know every category of Unicode, whose table takes each fresh process two seconds; these need none.
"""

from __future__ import annotations

from hypothesis import strategies as st

# Half of them letters, signs and line ends that formats give a meaning; the rest anything, lone surrogates too.
_CODES = st.integers(0, 0x7F) | st.integers(0, 0x10FFFF)


def any_text(max_size: int = 30) -> st.SearchStrategy[str]:
    return st.lists(_CODES, max_size=max_size).map(lambda codes: "".join(map(chr, codes)))
