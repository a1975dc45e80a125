"""SARIF: what a code host reads of it is there, by the parts of its schema that matter here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from plugins.plugin_utils.audit.check import audit
from plugins.plugin_utils.audit.sarif import sarif

FOLDER = Path(__file__).parents[3] / "fixtures" / "router"
TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
# The essentials of sarif-schema-2.1.0.json, closed where the schema is.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"enum": ["2.1.0"]},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "name": {"type": "string"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "properties": {
                                                "id": {"type": "string"},
                                                "shortDescription": TEXT,
                                                "fullDescription": TEXT,
                                                "defaultConfiguration": {
                                                    "type": "object",
                                                    "properties": {"level": {"enum": ["none", "note", "warning", "error"]}},
                                                },
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "properties": {"type": "object"},
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message"],
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": -1},
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": TEXT,
                                "locations": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "properties": {
                                            "physicalLocation": {
                                                "type": "object",
                                                "properties": {
                                                    "artifactLocation": {
                                                        "type": "object",
                                                        "properties": {"uri": {"type": "string", "pattern": "^[^ \\\\]*$"}},
                                                    },
                                                    "region": {
                                                        "type": "object",
                                                        "properties": {"startLine": {"type": "integer", "minimum": 1}},
                                                    },
                                                },
                                            },
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
STACK = b"services: {router: {image: 'litellm:latest'}}"


@pytest.mark.parametrize("name", ["article_first", "article_final", "right/merges", "right/order_precall"])
def test_schema(name: str) -> None:
    findings = audit((FOLDER / f"{name}.yaml").read_bytes(), "1.82.6", stack=STACK).findings
    document = sarif(findings, f"my configs/{name}.yaml", "stacks\\router.yml")
    jsonschema.validate(document, SCHEMA)
    run = document["runs"][0]
    assert len(run["results"]) == len(findings)
    assert [run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] for result in run["results"]] == [
        item.rule for item in findings
    ]
    places = {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"]}
    assert places == {f"my%20configs/{name}.yaml", "stacks/router.yml"}


def test_levels_and_lines() -> None:
    findings = audit((FOLDER / "article_first.yaml").read_bytes(), "1.109").findings
    results = sarif(findings, "config.yaml")["runs"][0]["results"]
    levels = {"error": "error", "warning": "warning", "advice": "note"}
    assert [(result["ruleId"], result["level"]) for result in results] == [
        (item.rule, levels[item.severity]) for item in findings
    ]
    assert [result["locations"][0]["physicalLocation"]["region"]["startLine"] for result in results] == [
        item.line for item in findings
    ]


def test_nothing_found() -> None:
    document = sarif([], "config.yaml")
    jsonschema.validate(document, SCHEMA)
    assert document["runs"][0]["results"] == []
