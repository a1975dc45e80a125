"""The LiteLLM configuration: rules that the pinned release needs, whatever the plan is."""

from __future__ import annotations

from collections import defaultdict

from plugins.plugin_utils.intent import parse_fleet
from plugins.plugin_utils.plan import make_plan
from plugins.plugin_utils.routing import litellm_config
from tests.unit.fleets import intent


def config(changes=None):
    return litellm_config(make_plan(parse_fleet(intent(changes)), "test"))


def test_every_deployment_has_an_integer_order_a_timeout_a_key_and_an_id_of_its_own():
    entries = config()["model_list"]
    assert [type(entry["litellm_params"]["order"]) for entry in entries] == [int] * 5
    assert all(entry["litellm_params"]["timeout"] > 0 and entry["litellm_params"]["api_key"] for entry in entries)
    assert len({entry["model_info"]["id"] for entry in entries}) == len(entries)


def test_one_group_per_alias_with_orders_from_one():
    orders = defaultdict(list)
    for entry in config()["model_list"]:
        orders[entry["model_name"]].append(entry["litellm_params"]["order"])
    assert orders == {"coding": [1, 2], "tools_fast": [1, 2], "embedding": [1]}


def test_the_engines_openai_endpoint_and_its_own_name_for_the_model():
    params = {entry["model_info"]["id"]: entry["litellm_params"] for entry in config()["model_list"]}
    assert params["gpus--big--coding"]["model"] == "openai/big:30b"
    assert params["gpus--big--coding"]["api_base"] == "http://gpus:11434/v1"
    assert params["mini--small--coding"]["api_base"] == "http://mini.lan:8100/v1"


def test_an_embedding_deployment_says_so():
    modes = {entry["model_name"]: entry["model_info"]["mode"] for entry in config()["model_list"]}
    assert modes == {"coding": "chat", "tools_fast": "chat", "embedding": "embedding"}


def test_retries_and_cooldown_are_written_out():
    settings = config({"llm_router": {"num_retries": 1, "cooldown_s": 9.0, "allowed_fails": 2, "timeout_s": 77.0}})[
        "router_settings"
    ]
    assert (settings["num_retries"], settings["cooldown_time"], settings["allowed_fails"], settings["timeout"]) == (
        1,
        9.0,
        2,
        77.0,
    )


def test_fallbacks_are_flat_lists_of_one_key_maps():
    changes = {"llm_assignments.coding": [{"model": "big", "host": "gpus"}], "llm_router.fallbacks": {"coding": ["tools_fast"]}}
    assert config(changes)["router_settings"]["fallbacks"] == [{"coding": ["tools_fast"]}]
    assert "fallbacks" not in config()["router_settings"]


def test_the_master_key_is_named_not_written():
    assert config()["general_settings"]["master_key"] == "os.environ/LITELLM_MASTER_KEY"


def test_a_workloads_timeout_reaches_its_deployments():
    entries = config({"llm_workloads.coding.timeout_s": 12.5})["model_list"]
    assert {entry["litellm_params"]["timeout"] for entry in entries if entry["model_name"] == "coding"} == {12.5}
