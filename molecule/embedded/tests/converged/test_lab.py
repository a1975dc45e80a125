"""After the first converge: the processes of the plan, their addresses, the router's answers and its secret."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests import lab

ALIASES = lab.load_plan()["aliases"] if (lab.BUILD / "plan.yml").is_file() else {}
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}),
    "embedding": ("/v1/embeddings", {"input": "hello"}),
}


def test_the_plan_keeps_its_schema() -> None:
    schema = json.loads((lab.ROOT / "plugins" / "schemas" / "plan.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(lab.load_plan(), schema)


def test_all_that_listens_is_the_plans_and_on_loopback() -> None:
    found = lab.listeners()
    assert set(found) == {*lab.engine_ports(), lab.router_port()}
    # 127.0.0.1 as /proc writes it on a little-endian machine.
    assert {one.address for one in found.values()} == {"0100007F"}


def test_every_resident_model_has_a_process_of_its_own() -> None:
    found = lab.listeners()
    assert len(lab.engine_ports()) >= 3
    assert len({found[port].pid for port in lab.engine_ports()}) == len(lab.engine_ports())


def test_what_runs_lies_in_the_lab() -> None:
    for one in lab.listeners().values():
        assert one.command[0].startswith(str(lab.BUILD)), one.command


def test_the_router_has_the_pinned_version() -> None:
    defaults = yaml.safe_load((lab.ROOT / "roles" / "litellm" / "defaults" / "main.yml").read_text(encoding="utf-8"))
    python = lab.listeners()[lab.router_port()].command[0]
    script = "import importlib.metadata; print(importlib.metadata.version('litellm'))"
    shown = subprocess.run([python, "-c", script], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == defaults["litellm_version"]


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_answers_from_its_own_deployment(alias: str) -> None:
    path, body = BODIES[ALIASES[alias]["mode"]]
    answer = lab.ask(path, {**body, "model": alias}, lab.master_key())
    assert answer.status == 200, answer.body
    # LiteLLM wants an id once in the whole file: the deployment's with the alias behind it.
    assert answer.headers["x-litellm-model-id"] in [f"{one['id']}--{alias}" for one in ALIASES[alias]["deployments"]]
    if path == "/v1/embeddings":
        assert len(answer.body["data"][0]["embedding"]) > 100
    else:
        assert answer.body["choices"][0]["message"]["content"].strip()


def test_there_are_the_aliases_of_the_mission() -> None:
    wanted = {"tools_fast", "reasoning_fast", "reasoning_slow", "coding", "research", "vision", "embedding"}
    assert wanted <= set(ALIASES)
    hosts = {alias: {one["host"] for one in ALIASES[alias]["deployments"]} for alias in ALIASES}
    assert sum(len(names) > 1 for names in hosts.values()) >= 2


@pytest.mark.parametrize("key", [None, "sk-wrong"])
def test_nobody_is_served_without_the_key(key: str | None) -> None:
    path, body = BODIES["chat"]
    # This version of LiteLLM, without a database, refuses a missing key with 500 and a wrong one with 400.
    assert lab.ask(path, {**body, "model": "coding"}, key).status in (400, 401, 403, 500)


def test_the_key_is_read_by_its_owner_only() -> None:
    assert stat.S_IMODE(lab.key_file().stat().st_mode) == 0o600
    assert len(lab.master_key()) >= 20


def test_the_key_is_in_no_log_and_no_readable_file() -> None:
    key = lab.master_key().encode()
    holders = [path for path in lab.own_files() if path.stat().st_size < 5_000_000 and key in path.read_bytes()]
    assert lab.key_file() in holders
    assert [str(path) for path in holders if stat.S_IMODE(path.stat().st_mode) & 0o077 or path.suffix == ".log"] == []


def test_the_key_is_in_no_command_line() -> None:
    key = lab.master_key().encode()
    lines = [(path, path.read_bytes()) for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert [str(path) for path, line in lines if key in line] == []


def test_hosts_share_no_port_and_every_url_is_the_plans() -> None:
    plan = lab.load_plan()
    urls = [resident["url"] for host in plan["hosts"].values() for resident in host["resident"]]
    assert len(set(urls)) == len(urls)
    assert all(re.fullmatch(r"http://127\.0\.0\.1:\d+", url) for url in urls)


def test_remember_who_runs() -> None:
    """Later steps compare with this: the second converge must not restart anything."""
    found = lab.identities()
    assert found
    lab.RECORD.write_text(json.dumps(found), encoding="utf-8")
