"""The door of the benchmark takes what its documentation says."""

from __future__ import annotations

import yaml

from plugins.action.benchmark import ARGUMENTS
from plugins.modules.benchmark import DOCUMENTATION, EXAMPLES, RETURN


def test_arguments_are_the_documented_options() -> None:
    options = yaml.safe_load(DOCUMENTATION)["options"]
    documented = {name: {key: value for key, value in option.items() if key != "description"} for name, option in options.items()}
    assert documented == ARGUMENTS


def test_examples_use_documented_options_only() -> None:
    options = set(yaml.safe_load(DOCUMENTATION)["options"])
    tasks = yaml.safe_load(EXAMPLES)
    assert tasks
    assert all(set(task["homelab.llm.benchmark"]) <= options for task in tasks)
    assert yaml.safe_load(RETURN)["cases"]["type"] == "list"
