"""Which clients deploy.yml gives the router: those of the plan, with the keys that they were given."""

from __future__ import annotations

import pytest

from tests.unit.role_expressions import evaluated, holds, load

TASKS = {task["name"]: task for task in load("../playbooks/tasks/router.yml")}
NAME, BRING = TASKS["Name the keys that no client has"], TASKS["Bring the router to the plan's aliases"]
ASSISTANT, NOTEBOOK = {"models": ["fast"]}, {"models": ["coding"]}
KEY = {"key": "sk-given.to-the_notebook"}
# Clients of the plan, given keys; clients of the router, names that are named.
CASES = {
    "no clients": (None, {}, {}, []),
    "keys are made": ({"assistant": ASSISTANT}, None, {"assistant": ASSISTANT}, []),
    "a key is given": (
        {"assistant": ASSISTANT, "notebook": NOTEBOOK},
        {"notebook": KEY},
        {"assistant": ASSISTANT, "notebook": {**NOTEBOOK, **KEY}},
        [],
    ),
    "one has left and its key has not": ({"assistant": ASSISTANT}, {"notebook": KEY}, {"assistant": ASSISTANT}, ["notebook"]),
    "the last one has left": (None, {"notebook": KEY}, {}, ["notebook"]),
}


@pytest.mark.parametrize(("planned", "given", "clients", "named"), CASES.values(), ids=CASES)
def test_clients_are_those_of_the_plan(planned, given, clients, named):
    known = {"llm_plan": {"router": {"clients": planned}}, "litellm_client_keys": given}
    assert evaluated(BRING["vars"]["litellm_clients"], BRING["vars"], **known) == clients
    assert holds(NAME["when"], NAME["vars"], **known) is bool(named)
    said = evaluated(NAME["ansible.builtin.debug"]["msg"], NAME["vars"], **known)
    assert all(name in said for name in named)
    assert KEY["key"] not in said
