"""Which managers had a user made for an engine or the router, and so have it removed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

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
