"""The committed schemas are those the models make, and every example satisfies the one it names."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import jsonschema
import pytest

from plugins.plugin_utils.schemas import FOLDER, rendered, schemas
from tests import yaml_text

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(
    path
    for folder in ("inventory", "tests/fixtures/article")
    for path in (ROOT / folder).rglob("*.yml")
    if "yaml-language-server" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", schemas())
def test_committed_schemas_are_fresh(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == rendered(schemas()[name]), "run: make schemas"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_example_satisfies_the_schema_it_names(path):
    text = path.read_text(encoding="utf-8")
    named = re.search(r"\$schema=(\S+)", text)
    schema = json.loads((path.parent / named[1]).resolve().read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(yaml_text.read(text))


def test_all_three_inventories_have_examples():
    assert len(EXAMPLES) == 18


def test_the_schema_refuses_what_the_models_refuse():
    schema = schemas()["inventory.schema.json"]
    good = yaml_text.read((ROOT / "inventory/homelab/group_vars/all/models.yml").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(good)
    for key, value in (("context_tokens", -1), ("context_tokenz", 4096), ("source", {"kind": "zip"})):
        bad = copy.deepcopy(good)
        bad["llm_models"]["qwen3.5:9b"][key] = value
        assert not validator.is_valid(bad), key
    assert not validator.is_valid({"llm_model": {}})
