"""Where the role `ollama` and verify look for the settings of a running engine, under each service manager."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

ROOT = Path(__file__).parents[3]
TASKS = ROOT / "roles" / "ollama" / "tasks"
LOG = {"name": "homelab-llm-ollama", "log": "/logs/ollama.log"}


def asked(**values: Any) -> dict[str, str]:
    """What engine_info is asked for; an option that is left out is empty."""
    tasks = yaml.safe_load((TASKS / "settings.yml").read_text(encoding="utf-8"))
    options = next(task["homelab.llm.engine_info"] for task in tasks if "homelab.llm.engine_info" in task)
    environment = jinja2.Environment(undefined=jinja2.ChainableUndefined)
    known = {"omit": "", "ollama_service_name": "homelab-llm-ollama", "none": None, **values}
    return {name: environment.from_string(options[name]).render(known) for name in ("unit", "log")}


@pytest.mark.parametrize(
    ("manager", "services", "unit", "log"),
    [
        ("systemd", [{**LOG, "log": None}], "homelab-llm-ollama", ""),
        ("launchd", [LOG], "", "/logs/ollama.log"),
        ("launchd", [{**LOG, "log": None}], "", ""),
        ("launchd", [], "", ""),
        ("supervisord", [LOG], "", "/logs/ollama.log"),
    ],
)
def test_each_manager_has_a_place_that_tells(manager: str, services: list[Any], unit: str, log: str) -> None:
    assert asked(service_chosen_manager=manager, ollama_logged={"services": services}) == {"unit": unit, "log": log}


def test_install_and_verify_look_at_the_same_place() -> None:
    assert "include_tasks: settings.yml" in (TASKS / "check_engine.yml").read_text(encoding="utf-8")
    assert "tasks_from: settings" in (ROOT / "playbooks" / "verify.yml").read_text(encoding="utf-8")
