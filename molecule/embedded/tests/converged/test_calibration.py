"""After the first converge: what real servers took stands beside what was planned, and it is close."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from plugins.module_utils.router_client import PROBE_TEXT
from tests import lab

FOLDER = lab.BUILD / "calibration"
HOSTS = lab.load_plan()["hosts"] if (lab.BUILD / "plan.yml").is_file() else {}
# What a log of llama.cpp tells of a model on a CPU.
TOLD = {"weights", "kv_cache", "compute", "output"}


def models(host: str) -> list[dict[str, Any]]:
    return json.loads((FOLDER / f"{host}.json").read_text(encoding="utf-8"))["models"]


@pytest.mark.parametrize("host", HOSTS)
def test_every_host_has_one_of_the_schema(host: str) -> None:
    schema = json.loads((lab.ROOT / "plugins" / "schemas" / "calibration.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads((FOLDER / f"{host}.json").read_text(encoding="utf-8")), schema)
    assert [model["model"] for model in models(host)] == [resident["model"] for resident in HOSTS[host]["resident"]]


@pytest.mark.parametrize("host", HOSTS)
def test_every_part_is_told_and_close(host: str) -> None:
    for model in models(host):
        parts = {part["part"]: part for part in model["parts"] if part["source"] == "log"}
        assert set(parts) == TOLD
        # What grows with use has no error: it is only below its prediction after the load.
        errors = {name: part for name, part in parts.items() if part["error_mib"] is not None}
        assert TOLD - set(errors) <= {"output"}
        for part in errors.values():
            assert abs(part["error_mib"]) <= max(0.02 * part["actual_mib"], 8.0), part
        assert model["agrees"]


@pytest.mark.parametrize("host", HOSTS)
def test_what_nobody_tells_is_not_known(host: str) -> None:
    untold = [part for model in models(host) for part in model["parts"] if part["source"] is None]
    assert {part["part"] for part in untold} == {"overhead"}
    assert [part["actual_mib"] for part in untold if part["actual_mib"] is not None] == []


def test_logs_hold_no_text_of_requests() -> None:
    """The servers were asked by the verification; what they were asked is in no log."""
    logs = [path for path in lab.own_files() if path.parent.name == "logs" and "llama" in path.name]
    assert logs
    assert [path.name for path in logs if PROBE_TEXT in path.read_text(encoding="utf-8", errors="replace")] == []
