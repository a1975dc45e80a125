"""The router's part of the plan: which fallbacks are kept, what is refused, and what clients may be answered by."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.plugin_utils.intent import Intent, parse_fleet
from plugins.plugin_utils.plan import make_plan
from plugins.plugin_utils.plan_table import plan_table
from plugins.plugin_utils.problems import IntentError

TIERS = {"SIMPLE": "a", "MEDIUM": "a", "COMPLEX": "b", "REASONING": "b"}


def lab(aliases: dict[str, str], changes: dict[str, Any] | None = None, **router: Any) -> Intent:
    """``{"a": "12"}``: the alias a is on hosts 1 and 2, in this order; an alias that begins with e is for embedding."""
    hosts = sorted({host for names in aliases.values() for host in names})
    modes = {alias: "embedding" if alias.startswith("e") else "chat" for alias in aliases}
    prompts = [{"id": "one", "text": "one"}]
    models = {
        f"{mode}{host}": {"source": {"kind": "external", "name": f"{mode}{host}"}, "mode": mode, "context_tokens": 512}
        for mode in ("chat", "embedding")
        for host in hosts
    }
    variables = {
        "llm_models": models,
        "llm_workloads": {alias: {"description": "d", "mode": mode, "prompts": prompts} for alias, mode in modes.items()},
        "llm_assignments": {
            alias: [{"model": f"{modes[alias]}{host}", "host": f"host{host}"} for host in names]
            for alias, names in aliases.items()
        },
        "llm_router": router,
    }
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        target: Any = variables
        for part in parents:
            target = target[part]
        target[last] = value
    engines = {f"host{host}": {"engine": "external", "managed": False, "url": f"http://host{host}:1234"} for host in hosts}
    return Intent(variables, engines, addresses=dict.fromkeys(engines, ""), router_hosts=("host1",))


def plan(*arguments: Any, **router: Any) -> dict[str, Any]:
    return make_plan(parse_fleet(lab(*arguments, **router)), "test")


# what is tested -> hosts of each alias, fallbacks as written, fallbacks that are kept
KEPT = {
    "a new host": ({"a": "1", "b": "2"}, {"a": ["b"]}, {"a": ["b"]}),
    "no new host": ({"a": "12", "b": "21"}, {"a": ["b"]}, {}),
    "one new of two": ({"a": "1", "b": "12"}, {"a": ["b"]}, {"a": ["b"]}),
    "none after the first": ({"a": "1", "b": "2", "c": "21"}, {"a": ["b", "c"]}, {"a": ["b"]}),
    "a host that a target leads to already": (
        {"a": "1", "b": "2", "c": "3", "d": "3"},
        {"a": ["b", "d"], "b": ["c"]},
        {"a": ["b"], "b": ["c"]},
    ),
    "what a target leads to, named too": (
        {"a": "1", "b": "2", "c": "3"},
        {"a": ["b", "c"], "b": ["c"]},
        {"a": ["b", "c"], "b": ["c"]},
    ),
    "the first of two that lead to each other": ({"a": "1", "b": "2", "c": "2"}, {"a": ["b", "c"]}, {"a": ["b"]}),
    "both of two names that share nothing": ({"a": "1", "b": "2"}, {"a": ["b"], "b": ["a"]}, {"a": ["b"], "b": ["a"]}),
    "embedding for embedding": ({"e1": "1", "e2": "2"}, {"e1": ["e2"]}, {"e1": ["e2"]}),
}


@pytest.mark.parametrize(("aliases", "said", "kept"), KEPT.values(), ids=KEPT)
def test_targets_that_add_no_host_are_left_out_with_the_reason(aliases, said, kept):
    made = plan(aliases, fallbacks=said)
    assert {alias: entry["fallbacks"] for alias, entry in made["aliases"].items() if entry["fallbacks"]} == kept
    left_out = {(alias, item["alias"]) for alias, entry in made["aliases"].items() for item in entry["fallbacks_left_out"]}
    assert left_out == {
        (alias, target) for alias, targets in said.items() for target in targets if target not in kept.get(alias, [])
    }
    assert all(
        f"note: {alias} does not fall back to {target}: it is served only by" in plan_table(made) for alias, target in left_out
    )


def test_a_smart_name_is_answered_by_its_other_tiers_unless_a_person_says_by_whom():
    aliases = {"a": "1", "b": "2", "c": "3"}
    assert plan(aliases, smart={"auto": {"tiers": TIERS}})["router"]["smart"]["auto"]["fallbacks"] == ["a", "b"]
    said = plan(aliases, smart={"auto": {"tiers": TIERS}}, fallbacks={"auto": ["c"]})
    assert said["router"]["smart"]["auto"]["fallbacks"] == ["c"]
    assert said["router"]["smart"]["auto"]["default"] == "a"


def test_a_smart_name_whose_tiers_share_their_hosts_has_no_chain():
    made = plan({"a": "12", "b": "21"}, smart={"auto": {"tiers": TIERS}})["router"]["smart"]["auto"]
    assert made["fallbacks"] == []
    assert [item["alias"] for item in made["fallbacks_left_out"]] == ["a", "b"]
    assert made["keyword_rules"] == made["escalation_keywords"] == []


def test_a_client_may_be_answered_by_tiers_and_by_fallbacks_of_fallbacks():
    aliases = {"a": "1", "b": "2", "c": "3", "d": "4", "e": "1"}
    clients = {"one": {"aliases": ["auto"]}, "two": {"aliases": ["a", "e"]}, "three": {"aliases": ["d"]}}
    router = {"smart": {"auto": {"tiers": TIERS}}, "fallbacks": {"b": ["c"], "a": ["b"]}, "clients": clients}
    made = plan(aliases, **router)["router"]["clients"]
    assert {name: said["models"] for name, said in made.items()} == {
        "one": ["a", "b", "c", "auto"],
        "two": ["a", "b", "c", "e"],
        "three": ["d"],
    }
    assert made["two"]["aliases"] == ["a", "e"]


# what is tested -> hosts of each alias, what is said of the router, deployments that are asked again at once after a failure
ASKED_AGAIN = {
    "one host": ({"a": "1"}, {}, ["a1"]),
    "the last of several": ({"a": "123"}, {}, ["a3"]),
    "who falls back has somebody": ({"a": "1", "b": "23"}, {"fallbacks": {"a": ["b"]}}, ["b3"]),
    "the end of a chain of chains": ({"a": "1", "b": "2", "c": "34"}, {"fallbacks": {"a": ["b"], "b": ["c"]}}, ["c4"]),
    "two that stand in for each other": ({"a": "1", "b": "2"}, {"fallbacks": {"a": ["b"], "b": ["a"]}}, ["a1", "b2"]),
    "whoever may be asked for alone": ({"a": "1", "b": "2", "c": "3"}, {"fallbacks": {"a": ["b", "c"]}}, ["b2", "c3"]),
    "tiers of a smart name": ({"a": "12", "b": "34"}, {"smart": {"auto": {"tiers": TIERS}}}, ["a2", "b4"]),
}


@pytest.mark.parametrize(("aliases", "router", "expected"), ASKED_AGAIN.values(), ids=ASKED_AGAIN)
def test_each_name_has_somebody_who_is_never_left_alone(aliases, router, expected):
    made = plan(aliases, **router, cooldown_s=7.0)["aliases"]
    pauses = {
        f"{alias}{item['host'].removeprefix('host')}": item["cooldown_s"]
        for alias, entry in made.items()
        for item in entry["deployments"]
    }
    assert set(pauses.values()) <= {0.0, 7.0}
    assert [name for name, pause_s in pauses.items() if pause_s == 0] == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 300.0),
        ({"timeout_s": 20.0}, 20.0),
        ({"objective": {"limit": 10}}, 300.0),
        ({"objective": {"limit": 900}}, 900.0),
        ({"objective": {"limit": 900}, "timeout_s": 1000}, 1000),
    ],
    ids=["the router's", "the workload's", "an objective below it", "an objective above it", "both"],
)
def test_a_timeout_leaves_time_for_what_is_good_enough(changes, expected):
    made = plan({"a": "1"}, {f"llm_workloads.a.{key}": value for key, value in changes.items()})
    assert made["aliases"]["a"]["timeout_s"] == expected


SMART = {"smart": {"auto": {"tiers": TIERS}}}
IMAGES = {"smart": {"auto": {"tiers": TIERS, "modality_routing": True}}}
# what is wrong -> changes of the variables, llm_router, words of the refusal
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "a fallback of nobody": ({}, {"fallbacks": {"x": ["a"]}}, ("llm_router.fallbacks.x: got the alias x", "a name of smart")),
    "a fallback to a smart name": (
        {},
        {**SMART, "fallbacks": {"a": ["auto"]}},
        ("got the alias auto; expected an assigned alias",),
    ),
    "an embedding fallback of a smart name": ({}, {**SMART, "fallbacks": {"auto": ["e"]}}, ("e, which is for embedding",)),
    "a chat fallback of an embedding alias": ({}, {"fallbacks": {"e": ["a"]}}, ("a, which is for chat; expected the same mode",)),
    "a tier of nobody": (
        {},
        {"smart": {"auto": {"tiers": {**TIERS, "SIMPLE": "x"}}}},
        ("smart.auto.tiers.SIMPLE", "Known: a, b"),
    ),
    "an embedding tier": ({}, {"smart": {"auto": {"tiers": {**TIERS, "COMPLEX": "e"}}}}, ("tiers.COMPLEX: got e, which is for",)),
    "a missing tier": ({}, {"smart": {"auto": {"tiers": {"SIMPLE": "a"}}}}, ("smart.auto.tiers.MEDIUM: got nothing",)),
    "a tier in small letters": (
        {},
        {"smart": {"auto": {"tiers": {**TIERS, "simple": "a"}}}},
        ("the key 'simple'", "REASONING, SIMPLE"),
    ),
    "a default of nobody": ({}, {"smart": {"auto": {"tiers": TIERS, "default": "x"}}}, ("smart.auto.default: got the alias x",)),
    "a smart name that is an alias": ({}, {"smart": {"a": {"tiers": TIERS}}}, ("smart.a: got the name of a workload",)),
    "a smart name that is a model": ({}, {"smart": {"chat1": {"tiers": TIERS}}}, ("got the name of a model",)),
    "a rule for no tier": (
        {},
        {"smart": {"auto": {"tiers": TIERS, "keyword_rules": [{"keywords": ["x"], "tier": "HARD"}]}}},
        ("keyword_rules[0].tier: got 'HARD'",),
    ),
    "a rule without words": (
        {},
        {"smart": {"auto": {"tiers": TIERS, "keyword_rules": [{"keywords": [], "tier": "SIMPLE"}]}}},
        ("keyword_rules[0].keywords",),
    ),
    "images that nobody knows of": ({}, IMAGES, ("modality_routing", "Say images: true or images: false of chat1, chat2")),
    "images that nobody takes": (
        {"llm_models.chat1.images": False, "llm_models.chat2.images": False},
        IMAGES,
        ("no tier whose models all take images",),
    ),
    "a client of nobody": ({}, {"clients": {"one": {"aliases": ["x"]}}}, ("clients.one.aliases[0]: got the alias x",)),
    "a client of nothing": ({}, {"clients": {"one": {"aliases": []}}}, ("clients.one.aliases",)),
    "a client's secret": ({}, {"clients": {"one": {"aliases": ["a"], "key": "sk-1"}}}, ("the key 'key'",)),
    "a name twice for a client": ({}, {"clients": {"one": {"aliases": ["a", "a"]}}}, ("aliases[1]: got a again",)),
    "a client's name that is no file's": ({}, {"clients": {"team/a": {"aliases": ["a"]}}}, ("clients.team/a: got team/a",)),
    "a smart name that LiteLLM reads otherwise": (
        {},
        {"smart": {"all-proxy-models": {"tiers": TIERS}}},
        ("smart.all-proxy-models: got the name all-proxy-models",),
    ),
    "an alias that LiteLLM reads otherwise": (
        {
            "llm_workloads.no-default-models": {"description": "d", "prompts": [{"id": "i", "text": "t"}]},
            "llm_assignments.no-default-models": [{"model": "chat1", "host": "host1"}],
        },
        {},
        ("llm_assignments.no-default-models: got the name no-default-models",),
    ),
    "a timeout below the objective": (
        {"llm_workloads.a.objective": {"limit": 30}, "llm_workloads.a.timeout_s": 20},
        {},
        ("llm_workloads.a.timeout_s: got 20", "limit of 30 s", "would be cut off"),
    ),
    "a silence below the objective": (
        {"llm_workloads.a.objective": {"metric": "ttft_s", "limit": 30}, "llm_workloads.a.stream_timeout_s": 20},
        {},
        ("llm_workloads.a.stream_timeout_s: got 20",),
    ),
    "a silence above the timeout": (
        {"llm_workloads.a.timeout_s": 20, "llm_workloads.a.stream_timeout_s": 30},
        {},
        ("stream_timeout_s: got 30", "at most timeout_s, which is 20"),
    ),
    "probes all the time": ({}, {"health": {"interval_s": 1}}, ("health.interval_s: got 1",)),
    "a password": ({}, {"redis": {"host": "redis", "password": "secret"}}, ("redis.password: got 'secret'", "REDIS_PASSWORD")),
}


@pytest.mark.parametrize(("changes", "router", "words"), REFUSED.values(), ids=REFUSED)
def test_a_router_that_cannot_be_is_refused(changes, router, words):
    with pytest.raises(IntentError) as raised:
        plan({"a": "1", "b": "2", "e": "1"}, changes, **router)
    assert [word for word in words if word not in str(raised.value)] == []


def test_two_deployments_of_one_id_are_refused():
    made = lab(
        {"a": "1", "b": "1"}, {"llm_workloads.host1--chat1--b": {"description": "d", "prompts": [{"id": "i", "text": "t"}]}}
    )
    made.variables["llm_assignments"]["host1--chat1--b"] = [{"model": "chat1", "host": "host1"}]
    with pytest.raises(IntentError, match="got the id host1--chat1--b, which is the alias host1--chat1--b's"):
        parse_fleet(made)


def test_images_can_be_routed_where_models_say_what_they_take():
    changes = {"llm_models.chat1.images": False, "llm_models.chat2.images": True}
    made = plan({"a": "1", "b": "2"}, changes, **IMAGES)
    assert [entry["deployments"][0]["images"] for entry in made["aliases"].values()] == [False, True]
