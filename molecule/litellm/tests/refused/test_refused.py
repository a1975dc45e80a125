"""Broken configurations never reach the proxy that serves: a gate refuses each, by its name, while requests are answered."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from plugins.plugin_utils.audit.check import check
from tests import litellm_host as lab
from tests.litellm_breakages import AUDIT, BREAKAGES, CANARY, ENGINE_BREAKAGES, ROUTER, broken, text_of
from tests.proxy.load import Load

VERSION = "1.106.2"
# Another master key and a client less: what a gate refuses must not have brought the one nor taken the other.
OTHER_KEYS = {
    "litellm_master_key": "sk-never-to-be-served",
    "litellm_clients": {"notebook": {"models": ["coding"], "key": lab.GIVEN_KEY}},
}
WORK = "/opt/broken"


@pytest.fixture(scope="module")
def config(host: Any) -> dict[str, Any]:
    return lab.config(host)


@pytest.fixture(scope="module", autouse=True)
def clients(host: Any) -> Iterator[Load]:
    """Eight clients that ask all the time, whatever is tried; and the router afterwards is the one of before."""
    before = lab.identity(host), lab.files(host)
    keys = lab.master_key(host), lab.made_key(host)
    with Load(lab.url(), lab.master_key(host), lab.request_body, lab.PAUSE_S) as load:
        yield load
    assert load.failures == []
    assert lab.identity(host) == before[0]
    assert (lab.master_key(host), lab.made_key(host)) == keys
    assert [line for line in lab.files(host) if line not in before[1]] == []


def audit_refuses(text: str) -> list[str]:
    return [found["rule"] for found in check(text.encode(), VERSION, ["LITELLM_MASTER_KEY"]) if found["severity"] == "error"]


def router_refuses(host: Any, text: str) -> tuple[int, str]:
    """What the second gate says, as the role asks it; the table of clients lies beside the file."""
    host.check_output("mkdir -p %s && cp %s/homelab_llm_auth.py %s/clients.json %s", WORK, lab.CURRENT, lab.CURRENT, WORK)
    host.check_output("printf %%s %s >%s/config.yaml", text, WORK)
    python = lab.serving(host)["program"]
    done = host.run(f"{shlex.quote(python)} -B {lab.DIRECTORY}/check_config.py {WORK}/config.yaml")
    host.check_output("rm -rf %s", WORK)
    return done.rc, done.stderr


def test_what_serves_is_refused_by_nobody(host: Any, config: dict[str, Any]) -> None:
    assert audit_refuses(text_of(config)) == []
    assert router_refuses(host, text_of(config)) == (0, "")


@pytest.mark.parametrize("change", BREAKAGES.values(), ids=BREAKAGES)
def test_a_look_at_the_file_is_enough(host: Any, config: dict[str, Any], change: Any) -> None:
    """The audit or LiteLLM's own router refuses it; the second is asked where the first lets it through."""
    text = text_of(broken(config, change))
    if not audit_refuses(text):
        code, said = router_refuses(host, text)
        assert code == 1, said
        assert said.strip()
        assert "Traceback" not in said


@pytest.mark.parametrize("change", ENGINE_BREAKAGES.values(), ids=ENGINE_BREAKAGES)
def test_some_are_seen_by_the_canary_alone(host: Any, config: dict[str, Any], change: Any) -> None:
    text = text_of(broken(config, change))
    assert (audit_refuses(text), router_refuses(host, text)[0]) == ([], 0)


# Name -> variables of the deployment beside the configuration, what is changed in that, words of the refusal.
DEPLOYMENTS: dict[str, tuple[dict[str, Any], Any, list[str]]] = {
    "audit": ({}, BREAKAGES["unknown strategy"], [AUDIT, "round-robin"]),
    "router": (
        {"litellm_audit_threshold": "none", **OTHER_KEYS},
        BREAKAGES["dangling alias"],
        [ROUTER, "tools_slow", "model_group_alias.quick"],
    ),
    "wrong port": (OTHER_KEYS, ENGINE_BREAKAGES["wrong port"], [CANARY, "{alias}"]),
    "wrong port before a second host": (
        {},
        ENGINE_BREAKAGES["wrong port before a second host"],
        [CANARY, "{alias}", "127.0.0.1:18999"],
    ),
    "wrong port before a fallback": (
        {},
        ENGINE_BREAKAGES["wrong port before a fallback"],
        [CANARY, "{alias}", "127.0.0.1:18999"],
    ),
    "another model": ({}, ENGINE_BREAKAGES["engine of another mode"], [CANARY, "embedding"]),
    "secret that nobody gives": (
        {},
        lambda config: config["general_settings"].update(
            coordination_redis={"host": "redis.lan", "password": "os.environ/REDIS_PASSWORD"}
        ),
        ["REDIS_PASSWORD", "litellm_secrets"],
    ),
    "client with the master key": (
        {"litellm_master_key": lab.GIVEN_KEY},
        dict,
        ["client notebook has the master key"],
    ),
    "stolen release": ({"litellm_version": "1.82.8"}, dict, ["1.82.8", "MAL-2026-2144"]),
    "unknown client's name": (
        {"litellm_clients": {"guest": {"models": ["painting"]}}},
        dict,
        ["painting", "is no name of the configuration"],
    ),
    "clients without their function": (
        {},
        lambda config: config["general_settings"].pop("custom_auth"),
        ["litellm_clients", "2 clients"],
    ),
}


@pytest.mark.parametrize(("variables", "change", "words"), DEPLOYMENTS.values(), ids=DEPLOYMENTS)
def test_the_role_refuses_it_and_says_which_gate(
    host: Any, config: dict[str, Any], clients: Load, variables: dict[str, Any], change: Any, words: list[str]
) -> None:
    before, answered = lab.identity(host), clients.answered
    code, said = lab.deploy(litellm_config=broken(config, change), **variables)
    assert code != 0
    named = [word.format(alias=config["model_list"][0]["model_name"]) for word in words]
    assert [word for word in named if word not in said] == [], said[-3000:]
    assert lab.identity(host) == before
    clients.wait_for(8)
    assert clients.answered > answered
    assert clients.failures == []


def test_no_generation_of_them_is_left(host: Any) -> None:
    assert host.check_output("ls %s/generations", lab.DIRECTORY).split() == [lab.serving(host)["revision"]]
