"""The doors of ollama_model and ollama_share: they take what they document, and end without a traceback."""

from __future__ import annotations

import importlib
import os

import pytest
import yaml

from tests.fake_ollama import install
from tests.module_doors import call_module

KEPT = ("type", "choices", "default", "required", "elements")


def described(options):
    """Documented options as an argument specification has them."""
    return {
        name: {key: option[key] for key in KEPT if key in option}
        | ({"options": described(option["suboptions"])} if "suboptions" in option else {})
        for name, option in options.items()
    }


def specified(arguments):
    return {
        name: {key: option[key] for key in KEPT if key in option}
        | ({"options": specified(option["options"])} if "options" in option else {})
        for name, option in arguments.items()
    }


@pytest.mark.parametrize("name", ["ollama_leftovers", "ollama_model", "ollama_share"])
def test_arguments_are_the_documented_options(name):
    module = importlib.import_module(f"plugins.modules.{name}")
    options = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert described(options) == specified(module.ARGUMENTS)
    for task in yaml.safe_load(module.EXAMPLES):
        (arguments,) = (value for key, value in task.items() if key.startswith("homelab.llm."))
        if f"homelab.llm.{name}" in task:
            assert set(arguments) <= set(options)


def test_leftovers_from_options_to_result(tmp_path):
    install(tmp_path, "m", b"weights")
    left = tmp_path / "blobs" / f"sha256-{'0' * 64}-partial"
    left.write_bytes(b"x" * 4096)
    os.utime(left, (0, 0))
    for check_mode, changed, stays in ((True, True, True), (False, True, False), (False, False, False)):
        found = call_module("ollama_leftovers", check_mode, models_directory=str(tmp_path))
        assert (found["changed"], found["removed"], left.exists()) == (changed, [left.name] if changed else [], stays)
        assert found["freed_bytes"] == (4096 if changed else 0)
    assert call_module("ollama_leftovers", models_directory=str(tmp_path), older_than_s=-1)["failed"] is True


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"from_model": "a", "from_file": "/b"},
        {"from_model": "a", "digest": "0" * 64},
        {"from_file": "/b", "digest": "0" * 64},
    ],
    ids=["without a source", "with two", "a model with a digest", "a file with a digest"],
)
def test_a_derived_model_has_one_source_and_no_digest(arguments):
    found = call_module("ollama_model", name="m", url="http://127.0.0.1:9", state="derived", **arguments)
    assert found["failed"] is True
    assert all(name in found["msg"] for name in arguments or ["from_model", "from_file"])
