"""A role's documented defaults are its defaults: Ansible does not apply those of meta/argument_specs.yml itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import yaml_text

ROOT = Path(__file__).parents[2]


def load(path: Path) -> dict[str, Any]:
    return yaml_text.read(path.read_text(encoding="utf-8")) or {} if path.is_file() else {}


def documented_options(role: Path) -> dict[str, dict[str, Any]]:
    """Every option of every entry point by name."""
    specs = load(role / "meta" / "argument_specs.yml").get("argument_specs", {})
    return {name: option for entry in specs.values() for name, option in (entry.get("options") or {}).items()}


def undescribed(options: dict[str, dict[str, Any]], where: str) -> list[str]:
    """Options without a description, those of nested dictionaries included."""
    found = [f"{where}{name}: no description" for name, option in options.items() if not option.get("description")]
    for name, option in options.items():
        found += undescribed(option.get("options") or {}, f"{where}{name}.")
    return found


def default_findings(name: str, defaults: dict[str, Any], options: dict[str, dict[str, Any]]) -> list[str]:
    if name not in options:
        return ["in defaults/main.yml, not in meta/argument_specs.yml"]
    option = options[name]
    if name not in defaults:
        needless = option.get("default") is not None
        return [f"documented default {option['default']!r}, none in defaults/main.yml"] if needless else []
    if option.get("required"):
        return ["required and yet it has a default"]
    wanted, got = option.get("default"), defaults[name]
    # True == 1 in Python, not in YAML.
    same = wanted == got and type(wanted) is type(got)
    return [] if same else [f"documented default {wanted!r}, in defaults/main.yml {got!r}"]


def role_findings(role: Path) -> list[str]:
    options, defaults = documented_options(role), load(role / "defaults" / "main.yml")
    found = undescribed(options, "")
    if not options:
        found.append("no options in meta/argument_specs.yml")
    for name in sorted({*options, *defaults}):
        found += [f"{name}: {text}" for text in default_findings(name, defaults, options)]
        if not name.startswith(f"{role.name}_"):
            found.append(f"{name}: a role's variable begins with {role.name}_")
    return [f"roles/{role.name}: {text}" for text in found]


def roles(root: Path) -> list[Path]:
    return sorted(path.parent.parent for path in root.glob("roles/*/tasks/main.yml"))


def test_there_are_roles() -> None:
    assert {"llama_cpp", "litellm"} <= {role.name for role in roles(ROOT)}


@pytest.mark.parametrize("role", roles(ROOT), ids=lambda role: role.name)
def test_defaults_are_as_documented(role: Path) -> None:
    assert role_findings(role) == []


# (defaults, options of the specification, words of the finding or None)
PORT = {"type": "int", "description": "Port.", "default": 80}
CASES: list[tuple[str, dict[str, Any], dict[str, Any], str | None]] = [
    ("equal", {"web_port": 80}, {"web_port": PORT}, None),
    ("null needs no documented default", {"web_key": None}, {"web_key": {"description": "Key."}}, None),
    ("required", {}, {"web_port": {"description": "Port.", "required": True}}, None),
    ("another value", {"web_port": 81}, {"web_port": PORT}, "documented default 80, in defaults/main.yml 81"),
    ("another type", {"web_on": 1}, {"web_on": {"description": "On.", "default": True}}, "documented default True"),
    ("undocumented", {"web_port": 80, "web_x": 1}, {"web_port": PORT}, "not in meta/argument_specs.yml"),
    ("only documented", {}, {"web_port": PORT}, "none in defaults/main.yml"),
    ("required with a default", {"web_port": 80}, {"web_port": {**PORT, "required": True}}, "required and yet"),
    ("no description", {"web_port": 80}, {"web_port": {"default": 80}}, "no description"),
    ("nested", {}, {"web_l": {"description": "L.", "options": {"a": {"type": "str"}}}}, "web_l.a: no description"),
    ("a stranger's name", {"port": 80}, {"port": PORT}, "begins with web_"),
    ("nothing at all", {}, {}, "no options"),
]


@pytest.mark.parametrize(("defaults", "options", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_drift_is_found(tmp_path: Path, defaults: dict[str, Any], options: dict[str, Any], words: str | None) -> None:
    role = tmp_path / "roles" / "web"
    for folder, content in (
        ("defaults/main.yml", defaults),
        ("meta/argument_specs.yml", {"argument_specs": {"main": {"options": options}}}),
    ):
        (role / folder).parent.mkdir(parents=True)
        (role / folder).write_text(yaml_text.written(content), encoding="utf-8")
    found = role_findings(role)
    assert found == [] if words is None else words in "\n".join(found)
