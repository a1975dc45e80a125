"""An audit as a person reads it: findings by severity, then what survives which host."""

from __future__ import annotations

from .check import Audit
from .finding import SEVERITIES, Finding
from .survival import followed, survival_table

TITLES = {"error": "Errors", "warning": "Warnings", "advice": "Advice"}


def said(audit: Audit, file: str, stack_file: str | None = None) -> list[str]:
    """Lines of text; the last one counts."""
    lines = [f"{file}, held against {audit.held_against}"]
    for severity in SEVERITIES:
        found = [item for item in audit.findings if item.severity == severity]
        lines += ["", f"{TITLES[severity]} ({len(found)})"] if found else []
        for name in dict.fromkeys(item.rule for item in found):
            lines += _rule([item for item in found if item.rule == name], file, stack_file)
    rows = audit.survival
    lines += ["", "What survives", *(f"  {line}" for line in survival_table(rows))] if rows else []
    lines += [f"  {part}" for part in [followed(audit.subject.config)] if part]
    return [*lines, "", summary(audit)]


def summary(audit: Audit) -> str:
    """``2 errors, 1 warning, 3 pieces of advice``."""
    counts = audit.counts()
    words = {"error": ("error", "errors"), "warning": ("warning", "warnings"), "advice": ("piece of advice", "pieces of advice")}
    return ", ".join(f"{counts[name]} {one if counts[name] == 1 else several}" for name, (one, several) in words.items())


def _rule(found: list[Finding], file: str, stack_file: str | None) -> list[str]:
    """What one rule found: why it matters once, then each place with its mend."""
    first = found[0]
    lines = [f"  {first.rule} (LiteLLM: {first.versions}). {first.why}"]
    for item in found:
        name = (stack_file or file) if item.file else file
        place = f"{name}:{item.line}" if item.line is not None else name
        lines.append(f"    {place}: {item.path or 'the file'}: got {item.got}; expected {item.expected}. {item.mend}")
    return lines
