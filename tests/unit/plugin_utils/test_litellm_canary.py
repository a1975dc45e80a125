"""Whom a canary asks, and what its configuration shares with those who serve: tables of configurations."""

from __future__ import annotations

import copy

import pytest

from plugins.plugin_utils.litellm_canary import canary_work


def entry(name, timeout=30, mode="chat", id="", **more):
    parameters = {"model": "openai/m", "api_base": "http://h:1/v1", "timeout": timeout, **more}
    return {"model_name": name, "litellm_params": parameters, "model_info": {"id": id or f"h--{name}", "mode": mode}}


def smart(name, *targets):
    tiers = {"SIMPLE": targets[0], "COMPLEX": {"model": targets[-1]}, "MEDIUM": list(targets)}
    parameters = {"model": "auto_router/complexity_router", "complexity_router_config": {"tiers": tiers}}
    return {"model_name": name, "litellm_params": parameters, "model_info": {"id": f"smart--{name}"}}


def config(*entries, **settings):
    return {"model_list": list(entries), "router_settings": settings}


ONE = [("h--a", "chat", 30, []), ("a", "chat", 30, ["h--a"])]
# (configuration, questions with mode, time and what is behind)
QUESTIONS = {
    "one": (config(entry("a")), ONE),
    "two deployments": (
        config(entry("a"), entry("a", 40, id="i--a")),
        [("h--a", "chat", 30, []), ("i--a", "chat", 40, []), ("a", "chat", 70, ["h--a", "i--a"])],
    ),
    "an embedding": (
        config(entry("e", mode="embedding")),
        [("h--e", "embedding", 30, []), ("e", "embedding", 30, ["h--e"])],
    ),
    "a completion": (
        config(entry("c", mode="completion")),
        [("h--c", "completion", 30, []), ("c", "completion", 30, ["h--c"])],
    ),
    "no mode and no id": (
        config({**entry("a"), "model_info": None}),
        [("canary-0", "chat", 30, []), ("a", "chat", 30, ["canary-0"])],
    ),
    "an id that is a name": (
        config(entry("a", id="b"), entry("b")),
        [
            ("canary-0", "chat", 30, []), ("h--b", "chat", 30, []),
            ("a", "chat", 30, ["canary-0"]), ("b", "chat", 30, ["h--b"]),
        ],
    ),
    "an alias": (config(entry("a"), model_group_alias={"q": "a"}), [*ONE, ("q", "chat", 30, ["h--a"])]),
    "a hidden alias": (
        config(entry("a"), model_group_alias={"q": {"model": "a", "hidden": True}}),
        [*ONE, ("q", "chat", 30, ["h--a"])],
    ),
    "an alias of nothing": (config(entry("a"), model_group_alias={"b": "c"}), ONE),
    "a smart name": (
        config(entry("a"), entry("b", 5), smart("s", "a", "b")),
        [
            ("h--a", "chat", 30, []), ("h--b", "chat", 5, []),
            ("a", "chat", 30, ["h--a"]), ("b", "chat", 5, ["h--b"]), ("s", "chat", 35, ["h--b", "h--a"]),
        ],
    ),
    "smart names in a circle": (
        config(entry("a"), smart("s", "t", "a"), smart("t", "s")),
        [*ONE, ("s", "chat", 30, ["h--a"]), ("t", "chat", 30, ["h--a"])],
    ),
    "a smart name that leads nowhere": (config(entry("a"), smart("s", "x")), [*ONE, ("s", "chat", 600, [])]),
    "the router's timeout": (
        config(entry("a", None), timeout=50),
        [("h--a", "chat", 50, []), ("a", "chat", 50, ["h--a"])],
    ),
    "no timeout": (config(entry("a", None)), [("h--a", "chat", 600, []), ("a", "chat", 600, ["h--a"])]),
    "another mode": (config(entry("a"), entry("r", mode="rerank")), ONE),
    "a pattern": (config(entry("a"), entry("openai/*")), ONE),
    "nothing": ({}, []),
}  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), QUESTIONS.values(), ids=QUESTIONS)
def test_every_deployment_and_every_name_is_asked(given, expected):
    before = copy.deepcopy(given)
    asked = canary_work(given)["questions"]
    assert [(item["model"], item["mode"], item["timeout_s"], item["behind"]) for item in asked] == expected
    assert [item["exact"] for item in asked] == [item["model"].startswith(("h--", "i--", "canary-")) for item in asked]
    assert given == before


def test_the_canary_has_the_ids_that_are_asked():
    given = config({**entry("a"), "model_info": None}, entry("a", id="h--a"))
    assert [one["model_info"]["id"] for one in canary_work(given)["config"]["model_list"]] == ["canary-0", "h--a"]


SILENT = {
    "all is asked": (config(entry("a")), []),
    "another mode": (config(entry("r", mode="rerank")), ["r has the mode rerank, which a few words do not try"]),
    "a pattern": (config(entry("openai/*")), ["openai/* is a pattern, which a few words do not try"]),
    "an alias of it": (
        config(entry("r", mode="rerank"), model_group_alias={"q": "r"}),
        ["r has the mode rerank, which a few words do not try", "q has the mode rerank, which a few words do not try"],
    ),
}


@pytest.mark.parametrize(("given", "expected"), SILENT.values(), ids=SILENT)
def test_what_is_not_asked_is_said(given, expected):
    assert canary_work(given)["not_asked"] == expected


# What serves, and whether the deployment of ONE is the same there.
UNCHANGED = {
    "the same": (config(entry("a")), True),
    "among others": (config(entry("b"), entry("a")), True),
    "another name": (config({**entry("a"), "model_name": "z"}), True),
    "another address": (config(entry("a", api_base="http://h:2/v1")), False),
    "another timeout": (config(entry("a", 31)), False),
    "another mode": (config(entry("a", mode="embedding")), False),
    "another id": (config(entry("a", id="other")), False),
    "no id": (config({**entry("a"), "model_info": None}), False),
    "nothing": ({}, False),
    "nobody": (None, False),
}


@pytest.mark.parametrize(("serving", "expected"), UNCHANGED.values(), ids=UNCHANGED)
def test_what_serves_already_is_known(serving, expected):
    assert [one["unchanged"] for one in canary_work(config(entry("a")), serving)["questions"]] == [expected, False]


RIGHT = {
    "model_list": [entry("a")],
    "router_settings": {"timeout": 30, "model_group_alias": {"q": "a"}},
    "litellm_settings": {"drop_params": True},
    "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
}
OWN = {"custom_auth": "homelab_llm_auth.user_api_key_auth", "custom_auth_run_common_checks": True}
CHECKS = {"enable_post_custom_auth_checks": True}
SHARED = [
    (
        "router_settings",
        {"redis_host": "h", "redis_url": "redis://h", "cache_responses": True, "enable_health_check_routing": True},
    ),
    (
        "litellm_settings",
        {"cache": True, "cache_params": {"type": "redis"}, "callbacks": ["prometheus"], "success_callback": ["s3"]},
    ),
    (
        "general_settings",
        {"coordination_redis": {"host": "h"}, "background_health_checks": True, "use_shared_health_check": True},
    ),
    ("general_settings", {"health_check_interval": 30, "alerting": ["slack"], "database_url": "x", "store_model_in_db": True}),
]


@pytest.mark.parametrize(("section", "values"), SHARED, ids=range(len(SHARED)))
def test_nothing_is_shared_with_those_who_serve(section, values):
    given = copy.deepcopy(RIGHT)
    given[section].update(values)
    work = canary_work(given)
    assert work["config"] == {**RIGHT, "router_settings": {**RIGHT["router_settings"], "disable_cooldowns": True}}
    assert work["digest"] == canary_work(RIGHT)["digest"]


# What is changed of the right configuration, and whether a canary has something new to try.
CHANGES = {
    "clients": (lambda it: (it["general_settings"].update(OWN), it["litellm_settings"].update(CHECKS)), False),
    "somebody else's authentication": (lambda it: it["general_settings"].update(custom_auth="mine.function"), True),
    "an address": (lambda it: it["model_list"][0]["litellm_params"].update(api_base="http://h:2/v1"), True),
    "a setting": (lambda it: it["litellm_settings"].update(drop_params=False), True),
    "an alias": (lambda it: it["router_settings"].update(model_group_alias={}), True),
    "an empty section": (lambda it: it.update(environment_variables={}), False),
}  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_who_the_clients_are_is_nothing_to_try(change, expected):
    given = copy.deepcopy(RIGHT)
    change(given)
    assert (canary_work(given)["digest"] != canary_work(RIGHT)["digest"]) == expected


def test_the_canary_keeps_its_clients():
    given = copy.deepcopy(RIGHT)
    given["general_settings"].update(OWN)
    assert canary_work(given)["config"]["general_settings"] == given["general_settings"]
