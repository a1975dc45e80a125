"""Which room the roles demand before anything is fetched: that of what is not on the host yet."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.role_expressions import evaluated, holds, load

NONE, ONE = {"matched": 0}, {"matched": 1}
SKIPPED: dict[str, Any] = {"changed": False, "skipped": True}


@pytest.mark.parametrize(
    ("services", "trees", "missing", "expected"),
    [
        ([], SKIPPED, {}, 300),
        (["a"], SKIPPED, {}, 0),
        # A model that was assigned to a host where others run.
        (["a"], SKIPPED, {"new": 50.0}, 50),
        # Another release beside the one that runs.
        (["a"], NONE, {"a": 20.0, "b": 30.0}, 350),
        (["a"], ONE, {}, 0),
    ],
)
def test_room_of_llama_cpp(services: list[str], trees: dict[str, Any], missing: dict[str, float], expected: float) -> None:
    given = {"llama_cpp_found": {"services": services}, "llama_cpp_trees": trees, "llama_cpp_missing": missing}
    variables = load("llama_cpp/tasks/preflight_room.yml")[-1]["vars"]
    assert evaluated("{{ llama_cpp_wanted_mib }}", variables, **given, llama_cpp_engine_disk_mib=300) == expected


@pytest.mark.parametrize(
    ("method", "trees", "looked_at"),
    [("release", SKIPPED, True), ("release", NONE, True), ("archive", ONE, False), ("existing", SKIPPED, False)],
)
def test_room_of_ollamas_engine(method: str, trees: dict[str, Any], looked_at: bool) -> None:
    (condition,) = (task["when"] for task in load("ollama/tasks/preflight_room.yml") if "for the engine" in task["name"])
    assert holds(condition, {}, ollama_install_method=method, ollama_trees=trees) is looked_at


URL = {"kind": "url", "url": "http://lan/models/small.gguf?download=true", "file_sha256": "0123456789abcdef"}
WHEEL = {"kind": "wheel", "requirement": "small-model==1.0"}


@pytest.mark.parametrize(
    ("source", "place"),
    [(URL, "/models/0123456789ab-small.gguf"), (WHEEL, "/models/small-model-1.0"), ({"kind": "file", "path": "/a"}, None)],
)
@pytest.mark.parametrize("exists", [True, False])
def test_a_file_is_looked_for_where_it_is_fetched_to(source: dict[str, str], place: str | None, exists: bool) -> None:
    look, note = load("gguf_file/tasks/look.yml")
    given = {"gguf_file_source": source, "gguf_file_directory": "/models"}
    is_fetched = holds(look["when"], {}, **given)
    assert is_fetched is (place is not None)
    if is_fetched:
        assert evaluated(look["ansible.builtin.stat"]["path"], load("gguf_file/vars/main.yml"), **given) == place
    found = {"changed": False, "stat": {"exists": exists}} if is_fetched else SKIPPED
    there = evaluated(note["ansible.builtin.set_fact"]["gguf_file_there"], {}, gguf_file_fetched=found)
    assert there is (exists or not is_fetched)
