"""The version of an Ollama that is there: the embedded lab plans for the one that the role's preflight then finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).parents[3]
LAB = yaml.safe_load((ROOT / "inventory/embedded/group_vars/all/embedded.yml").read_text(encoding="utf-8"))
TASKS = yaml.safe_load((ROOT / "roles/ollama/tasks/preflight_binary.yml").read_text(encoding="utf-8"))
FOUND = next(task["vars"]["ollama_binary_versions"] for task in TASKS if "ollama_binary_versions" in task.get("vars", {}))
ALONE = "Warning: could not connect to a running Ollama instance\nWarning: client version is {}\n"
CASES = [
    (ALONE.format("0.33.0"), "0.33.0"),
    (ALONE.format("0.33.0-rc1"), "0.33.0-rc1"),
    ("ollama version is 0.24.0\n", "0.24.0"),
    ("ollama version is v0.24.0-rc2\n", "0.24.0-rc2"),
    ("", None),
]


def template(text: str, variables: dict[str, Any]) -> Any:
    return Templar(loader=DataLoader(), variables=variables).template(trust_as_template(text))


@pytest.mark.parametrize(("said", "version"), CASES, ids=[str(case[1]) for case in CASES])
def test_the_lab_plans_for_the_version_that_the_preflight_finds(said, version):
    assert template(LAB["embedded_ollama_version"], {"embedded_ollama_says": said}) == version
    found = template(FOUND, {"ollama_binary_says": {"stdout": said}})
    assert found == ([version] if version else [])
