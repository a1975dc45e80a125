"""Findings as SARIF 2.1.0, which code hosts show beside the lines of a change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from .finding import Finding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"error": "error", "warning": "warning", "advice": "note"}


def sarif(findings: Sequence[Finding], file: str, stack_file: str | None = None) -> dict[str, Any]:
    """One run of one tool. ``file``: the configuration as the repository knows it, with forward slashes."""
    rules = list(dict.fromkeys(item.rule for item in findings))
    first = {name: next(item for item in findings if item.rule == name) for name in rules}
    driver = {"name": "homelab.llm audit", "rules": [_rule(first[name]) for name in rules]}
    results = [_result(item, rules, (stack_file or file) if item.file else file) for item in findings]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _rule(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.rule,
        "shortDescription": {"text": finding.rule.replace("-", " ")},
        "fullDescription": {"text": finding.why},
        "defaultConfiguration": {"level": LEVELS[finding.severity]},
        "properties": {"versions": finding.versions},
    }


def _result(finding: Finding, rules: Sequence[str], file: str) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(file)}}
    if finding.line is not None:
        place["region"] = {"startLine": finding.line}
    message = f"{finding.path or 'the file'}: got {finding.got}; expected {finding.expected}. {finding.why} {finding.mend}"
    return {
        "ruleId": finding.rule,
        "ruleIndex": rules.index(finding.rule),
        "level": LEVELS[finding.severity],
        "message": {"text": message},
        "locations": [{"physicalLocation": place, "logicalLocations": [{"fullyQualifiedName": finding.path}]}],
    }


def _uri(file: str) -> str:
    return quote(file.replace("\\", "/"))
