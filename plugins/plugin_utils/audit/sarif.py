"""Findings as SARIF 2.1.0, which code hosts show beside the lines of a change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from .finding import Finding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"error": "error", "warning": "warning", "advice": "note"}


# Of one file: findings, its name, that of the stack file, the release and why that one.
Audited = tuple[Sequence[Finding], str, "str | None", "str | None"]


def sarif(findings: Sequence[Finding], file: str, stack_file: str | None = None, held: str | None = None) -> dict[str, Any]:
    """One run of one tool. ``file``: the configuration as the repository knows it, with forward slashes."""
    return sarif_of([(findings, file, stack_file, held)])


def sarif_of(audited: Sequence[Audited]) -> dict[str, Any]:
    """Several files as one run: code hosts take one run of a tool."""
    everything = [item for findings, _file, _stack, _held in audited for item in findings]
    first = {item.rule: item for item in reversed(everything)}
    rules = list(dict.fromkeys(item.rule for item in everything))
    places = {name: index for index, name in enumerate(rules)}
    results = [
        _result(item, places[item.rule], (stack_file or file) if item.file else file)
        for findings, file, stack_file, _held in audited
        for item in findings
    ]
    driver = {"name": "homelab.llm audit", "rules": [_rule(first[name]) for name in rules]}
    run: dict[str, Any] = {"tool": {"driver": driver}, "results": results}
    held_against = {file: held for _findings, file, _stack, held in audited if held}
    if held_against:
        run["properties"] = {"heldAgainst": held_against}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.rule,
        "shortDescription": {"text": finding.rule.replace("-", " ")},
        "fullDescription": {"text": finding.why},
        "defaultConfiguration": {"level": LEVELS[finding.severity]},
        "properties": {"versions": finding.versions},
    }


def _result(finding: Finding, rule: int, file: str) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(file)}}
    if finding.line is not None:
        place["region"] = {"startLine": finding.line}
    message = f"{finding.path or 'the file'}: got {finding.got}; expected {finding.expected}. {finding.why} {finding.mend}"
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": LEVELS[finding.severity],
        "message": {"text": message},
        "locations": [{"physicalLocation": place, "logicalLocations": [{"fullyQualifiedName": finding.path}]}],
    }


def _uri(file: str) -> str:
    """Relative as it is; a file elsewhere with its scheme."""
    path = quote(file.replace("\\", "/"))
    return f"file://{path}" if path.startswith("/") else path
