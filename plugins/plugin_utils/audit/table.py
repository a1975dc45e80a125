"""The rules as the table in docs/audit.md: `python -m plugins.plugin_utils.audit.table docs/audit.md` writes it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .check import RULES, STACK_RULES
from .finding import SEVERITIES, Rule

BEGIN, END = "<!-- rules: made by `make docs` -->\n", "<!-- end of rules -->\n"


def rules_table() -> str:
    """Every rule by severity: its name, the releases that it holds for, and why it matters."""
    lines = ["| severity | rule | LiteLLM | why |", "|---|---|---|---|"]
    for severity in SEVERITIES:
        lines += [_row(rule) for rule in sorted((*RULES, *STACK_RULES), key=lambda rule: rule.id) if rule.severity == severity]
    return "\n".join(lines) + "\n"


def _row(rule: Rule) -> str:
    why = rule.why.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
    return f"| {rule.severity} | `{rule.id}` | {rule.versions} | {why} |"


def with_table(text: str) -> str:
    """A document with the table between its marks. Raises ValueError where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"got a document without {BEGIN.strip()} and {END.strip()}; expected both")
    return f"{before}{begin}\n{rules_table()}\n{end}{after}"


def main(words: Sequence[str]) -> int:
    """Write the table into documents."""
    for word in words:
        file = Path(word)
        file.write_text(with_table(file.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
