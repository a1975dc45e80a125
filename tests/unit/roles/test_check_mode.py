"""What the role `ollama` asks a running engine in check mode."""

from __future__ import annotations

import pytest

from tests.unit.role_expressions import holds, load

ASKING = {
    "models": next(task for task in load("ollama/tasks/models.yml") if "block" in task),
    "residency": load("ollama/tasks/residency.yml")[-1],
}
LOOK = load("ollama/tasks/run.yml")[-1]


@pytest.mark.parametrize("task", ASKING.values(), ids=ASKING)
@pytest.mark.parametrize(
    ("check_mode", "status", "asked"),
    [
        (True, 200, True),
        # Nobody listens at the address that the engine is about to get, though one runs at another.
        (True, -1, False),
        (False, None, True),
    ],
)
def test_an_engine_that_does_not_answer_there_is_not_asked(task, check_mode, status, asked):
    looked = {"skipped": True} if status is None else {"status": status}
    given = {"ollama_answering": looked, "ollama_port": 11434, "ollama_running": {"ports": [11434]}}
    assert holds(task["when"], {}, ansible_check_mode=check_mode, **given) is asked


def test_check_mode_looks_indeed_and_goes_on():
    assert (LOOK["register"], LOOK["check_mode"], LOOK["failed_when"]) == ("ollama_answering", False, False)
