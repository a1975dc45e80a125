"""How long the role `ollama` lets one run of the watchdog take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from plugins.module_utils.resident_loading import reach
from tests.unit.residencies import ThoughtEngine, wanted

TASKS = Path(__file__).parents[3] / "roles" / "ollama" / "tasks" / "watchdog.yml"
LOAD_TIMEOUT_S = 900


def limit_s(models: int) -> int:
    tasks: list[dict[str, Any]] = yaml.safe_load(TASKS.read_text(encoding="utf-8"))
    text = next(task["vars"] for task in tasks if "vars" in task)["service_start_timeout_s"]
    return int(jinja2.Template(text).render(ollama_load_timeout_s=LOAD_TIMEOUT_S, ollama_models=[None] * models))


@pytest.mark.parametrize("models", range(1, 6))
def test_a_run_that_does_all_that_it_may_do_is_not_ended(models: int) -> None:
    expected = wanted(*"abcde"[:models], full_offload=True)
    # Only the first of several fits: all is loaded, then all after it again, then all.
    engine = ThoughtEngine(slots=9, split_after=min(1, models - 1))
    reach(engine, expected, engine.look())
    loads = sum(asked.startswith("load") for asked in engine.asked)
    # A request and the wait after it: each has the limit of a load (ResidentEngine.unload).
    waits = 2 * (len(engine.asked) - loads)
    assert loads > models
    assert limit_s(models) >= (loads + waits) * LOAD_TIMEOUT_S
