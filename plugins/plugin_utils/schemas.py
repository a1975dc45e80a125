"""The JSON Schemas of inventory, plan and sample, generated from the models: ``python -m plugins.plugin_utils.schemas``.

Editors complete and check YAML against them; a test compares the committed files with what this module makes.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

from pydantic import TypeAdapter, create_model

from .calibration_document import CalibrationDocument
from .fleet import Host
from .intent import VARIABLES
from .intent_types import Strict
from .plan_document import PlanDocument
from .samples import schema as sample_schema

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """File name -> schema."""
    return {
        "inventory.schema.json": or_template(_inventory_schema()),
        "hosts.schema.json": or_template(_hosts_schema()),
        "calibration.schema.json": {"$schema": DIALECT, **CalibrationDocument.model_json_schema()},
        "plan.schema.json": {"$schema": DIALECT, **PlanDocument.model_json_schema()},
        "sample.schema.json": sample_schema(),
    }


def rendered(schema: dict[str, Any]) -> str:
    """A schema as it is committed."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write(folder: pathlib.Path = FOLDER) -> None:
    """Writes every schema file."""
    for name, schema in schemas().items():
        (folder / name).write_text(rendered(schema), encoding="utf-8")


def _inventory_schema() -> dict[str, Any]:
    """A file of group_vars/all: any of our variables, and any others that do not begin with ``llm_``."""
    fields: dict[str, Any] = {name: (kind | None, None) for name, kind in VARIABLES.items()}
    inventory: type[Strict] = create_model("Inventory", __base__=Strict, **fields)
    schema: dict[str, Any] = inventory.model_json_schema()
    schema.pop("additionalProperties")
    for name, kind in VARIABLES.items():
        schema["properties"][name] = _reference(kind, schema)
    return {
        "$schema": DIALECT,
        **schema,
        "title": "Variables of a homelab.llm inventory",
        "patternProperties": {"^llm_(?!(models|workloads|policy|assignments|router)$)": False},
    }


def or_template(schema: Any) -> Any:
    """The schema with every value also allowed to be a Jinja template, which Ansible fills in before we see it."""
    if isinstance(schema, list):
        return [or_template(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: or_template(value) for key, value in schema.items()}
    if "patternProperties" in schema and "^llm_" not in str(schema["patternProperties"]):
        # A mapping by name: what does not look like a name is refused by the models too.
        made["additionalProperties"] = False
    for key in ("properties", "patternProperties", "$defs"):
        for name, value in schema.get(key, {}).items():
            made[key][name] = _templated(or_template(value)) if isinstance(value, dict) else value
    return made


def _templated(schema: dict[str, Any]) -> dict[str, Any]:
    noted: dict[str, Any] = {key: schema.pop(key) for key in ("description", "title", "default") if key in schema}
    return {**noted, "anyOf": [schema, {"type": "string", "pattern": r"\{\{"}]}


def _reference(kind: Any, schema: dict[str, Any]) -> dict[str, Any]:
    made = TypeAdapter(kind).json_schema(ref_template="#/$defs/{model}")
    for name, definition in made.pop("$defs", {}).items():
        schema["$defs"].setdefault(name, definition)
    return dict(made)


def _hosts_schema() -> dict[str, Any]:
    """A hosts.yml of Ansible in which every host may carry ``llm_host``."""
    host = Host.model_json_schema(ref_template="#/$defs/{model}")
    definitions = host.pop("$defs", {})
    group = {
        "type": ["object", "null"],
        "properties": {
            "hosts": {"type": ["object", "null"], "additionalProperties": {"$ref": "#/$defs/InventoryHost"}},
            "children": {"type": ["object", "null"], "additionalProperties": {"$ref": "#/$defs/InventoryGroup"}},
            "vars": {"type": ["object", "null"]},
        },
        "additionalProperties": False,
    }
    variables = {"type": ["object", "null"], "properties": {"llm_host": {"$ref": "#/$defs/Host"}}}
    return {
        "$schema": DIALECT,
        "title": "hosts.yml of a homelab.llm inventory",
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/InventoryGroup"},
        "$defs": {**definitions, "Host": host, "InventoryHost": variables, "InventoryGroup": group},
    }


if __name__ == "__main__":
    write()
