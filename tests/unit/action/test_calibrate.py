"""The door of the calibration takes what its documentation says, and finds what the playbook registered."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from plugins.action.calibrate import ARGUMENTS, readings
from plugins.modules.calibrate import DOCUMENTATION, EXAMPLES


def test_arguments_are_the_documented_options() -> None:
    options = yaml.safe_load(DOCUMENTATION)["options"]
    documented = {name: {key: value for key, value in option.items() if key != "description"} for name, option in options.items()}
    assert documented == ARGUMENTS
    assert all(set(task["homelab.llm.calibrate"]) <= set(options) for task in yaml.safe_load(EXAMPLES))


ONE = {"item": {"model": "m"}, "memory": {"report": None}}


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, {}),
        ({"llama_cpp_memory": {"results": [ONE]}}, {"m": {"report": None}}),
        ({"ollama_memory": {"results": [ONE]}}, {"m": {"report": None}}),
        ({"llama_cpp_memory": {"results": [ONE]}, "llm_memory": {"skipped": True}}, {"m": {"report": None}}),
        ({"llm_memory": {"results": [{**ONE, "memory": {"report": {}}}]}}, {"m": {"report": {}}}),
        ({"llm_memory": {"results": [{"item": {"model": "m"}, "skipped": True}, {"item": "m", "memory": {}}]}}, {}),
    ],
)
def test_what_was_registered_is_found(variables: dict[str, Any], found: dict[str, Any]) -> None:
    assert readings({"a": variables}, "a") == found
