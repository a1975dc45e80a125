"""After the first converge: real Ollamas keep the plan's models, the aliases answer, and what is evicted comes back."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

import pytest

from tests import lab

PLAN = lab.load_plan() if (lab.BUILD / "plan.yml").is_file() else {"hosts": {}, "aliases": {}}
HOSTS, ALIASES = PLAN["hosts"], PLAN["aliases"]
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}),
    "embedding": ("/v1/embeddings", {"input": "hello"}),
}
# The watchdog's period, and what it may take to look and to load a small model.
PERIOD_S, SLACK_S = 30.0, 30.0


def call(host: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(HOSTS[host]["url"] + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read())


def loaded(host: str) -> dict[str, dict[str, Any]]:
    return {model["name"]: model for model in call(host, "/api/ps")["models"]}


def state(host: str, name: str) -> str:
    return (lab.BUILD / "hosts" / host / "ollama" / "state" / name).read_text(encoding="utf-8")


def test_every_engine_is_an_ollama_on_loopback() -> None:
    found = lab.listeners()
    assert set(found) >= {*lab.engine_ports(), lab.router_port()}
    assert {found[port].address for port in lab.engine_ports()} == {"0100007F"}
    assert {found[port].command[-1] for port in lab.engine_ports()} == {"serve"}


@pytest.mark.parametrize("host", HOSTS)
def test_the_planned_version_runs(host: str) -> None:
    assert call(host, "/api/version")["version"] == HOSTS[host]["admission"]["engine_version"]


@pytest.mark.parametrize("host", HOSTS)
def test_exactly_the_plan_is_loaded_for_ever(host: str) -> None:
    found = loaded(host)
    assert {name: model["context_length"] for name, model in found.items()} == {
        resident["engine_model"]: resident["context_tokens"] for resident in HOSTS[host]["resident"]
    }
    # A model that is kept for ever expires in another century.
    assert all(model["expires_at"][:2] > "20" for model in found.values()), found


@pytest.mark.parametrize("host", HOSTS)
def test_the_watchdog_wrote_what_it_saw(host: str) -> None:
    document = json.loads(state(host, "residency.json"))
    assert {resident["engine_model"] for resident in HOSTS[host]["resident"]} <= set(json.dumps(document).split('"'))
    assert "homelab_llm" in state(host, "residency.prom")


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_answers_from_its_own_deployment(alias: str) -> None:
    path, body = BODIES[ALIASES[alias]["mode"]]
    answer = lab.ask(path, {**body, "model": alias}, lab.master_key())
    assert answer.status == 200, answer.body
    assert answer.headers["x-litellm-model-id"] in [f"{one['id']}--{alias}" for one in ALIASES[alias]["deployments"]]
    if path == "/v1/embeddings":
        assert len(answer.body["data"][0]["embedding"]) == 576
    else:
        assert answer.body["choices"][0]["message"]["content"].strip()


def test_an_evicted_model_comes_back_and_is_recorded() -> None:
    host = next(iter(HOSTS))
    name = HOSTS[host]["resident"][0]["engine_model"]
    call(host, "/api/generate", {"model": name, "keep_alive": 0})
    ends = time.monotonic() + PERIOD_S + SLACK_S
    while time.monotonic() < ends and not (name in loaded(host) and loaded(host)[name]["expires_at"][:2] > "20"):
        time.sleep(0.5)
    assert loaded(host)[name]["expires_at"][:2] > "20"
    while time.monotonic() < ends and name not in state(host, "events.jsonl"):
        time.sleep(0.5)
    assert name in state(host, "events.jsonl")


def test_remember_who_runs() -> None:
    """The second converge must not restart anything."""
    found = {port: who for port, who in lab.identities().items() if int(port) in {*lab.engine_ports(), lab.router_port()}}
    lab.RECORD.write_text(json.dumps(found), encoding="utf-8")
