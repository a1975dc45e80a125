"""Which managers had a user made for an engine or the router, and so have it removed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.unit.role_expressions import evaluated, holds, load

ROLES = Path(__file__).parents[3] / "roles"


@pytest.mark.parametrize("role", ["ollama", "llama_cpp", "litellm"])
def test_a_role_removes_its_user_wherever_one_was_made(role: str) -> None:
    tasks = yaml.safe_load((ROLES / role / "tasks" / "remove.yml").read_text(encoding="utf-8"))
    removal = [task for task in tasks if (task.get("ansible.builtin.include_role") or {}).get("tasks_from") == "remove_user.yml"]
    makers = [
        manager
        for manager in ("systemd", "launchd", "supervisord")
        if "user.yml" in (ROLES / "service" / "tasks" / f"{manager}.yml").read_text(encoding="utf-8")
    ]
    assert makers == ["systemd", "launchd"]
    assert [task["when"] for task in removal] == ["service_chosen_manager != 'supervisord'"]


LINES = [
    ("User=homelab-litellm\n", True),
    ("  <string>homelab-litellm</string>\n", True),
    ("User=homelab-litellm-too\n", False),
    ("User=ollama\n", False),
    ("# User=homelab-litellm\n", False),
]


@pytest.mark.parametrize(("line", "expected"), LINES, ids=range(len(LINES)))
def test_a_user_of_another_service_stays(line: str, expected: bool) -> None:
    tasks = load("service/tasks/remove_user.yml")
    look = next(task for task in tasks if task.get("register") == "service_user_services")
    # As ansible.builtin.find compares: from the beginning of each line.
    pattern = evaluated(look["ansible.builtin.find"]["contains"], {}, service_user="homelab-litellm")
    assert bool(re.match(pattern, line)) is expected
    removal = next(task for task in tasks if "block" in task)
    files = [{"path": "/etc/systemd/system/other.service"}] if expected else []
    assert holds(removal["when"][0], {}, service_user_services={"files": files}) is not expected
