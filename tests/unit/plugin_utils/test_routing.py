"""The LiteLLM configuration: rules that the pinned release needs, whatever the plan is."""

from __future__ import annotations

from collections import defaultdict

import yaml

from plugins.plugin_utils.intent import parse_fleet
from plugins.plugin_utils.plan import make_plan
from plugins.plugin_utils.routing import litellm_config
from plugins.plugin_utils.routing_text import config_hash, config_text
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


def settings(section, **router):
    return config({"llm_router": router})[section]


def test_no_retries_unless_a_person_wants_them_and_none_of_the_library_beneath():
    """That library asks for embeddings three times by itself; it takes 0 in a deployment's max_retries for nothing said."""
    assert settings("router_settings")["num_retries"] == 0
    assert settings("litellm_settings")["DEFAULT_MAX_RETRIES"] == 0


def test_every_order_is_a_hop():
    changes = {"llm_assignments.coding": [{"model": "big", "host": "gpus"}], "llm_router.fallbacks": {"coding": ["tools_fast"]}}
    assert config(changes)["router_settings"]["max_fallbacks"] == 5


def test_a_deployment_says_its_host_of_the_plan():
    hosts = {entry["model_info"]["id"]: entry["model_info"]["host"] for entry in config()["model_list"]}
    assert hosts == {name: name.split("--")[0] for name in hosts}


def test_a_silence_is_rendered_where_somebody_limits_it():
    entries = config({"llm_workloads.coding.stream_timeout_s": 4})["model_list"]
    silences = {entry["model_name"]: entry["litellm_params"].get("stream_timeout") for entry in entries}
    assert silences == {"coding": 4, "tools_fast": None, "embedding": None}


def test_the_last_deployment_that_is_asked_is_never_left_alone():
    pauses = {entry["model_info"]["id"]: entry["litellm_params"].get("cooldown_time") for entry in config()["model_list"]}
    last = {entry["model_name"]: entry["model_info"]["id"] for entry in config()["model_list"]}
    assert pauses == {name: 0.0 if name in last.values() else None for name in pauses}
    assert len(last) < len(pauses)


def test_a_complexity_router_has_what_it_needs_and_nothing_that_surprises():
    tiers = {"SIMPLE": "tools_fast", "MEDIUM": "tools_fast", "COMPLEX": "coding", "REASONING": "coding"}
    rules = [{"keywords": ["prove"], "tier": "REASONING"}]
    made = config({"llm_router.smart": {"auto": {"tiers": tiers, "keyword_rules": rules}}})
    assert made["model_list"][-1] == {
        "model_name": "auto",
        "litellm_params": {
            "model": "auto_router/complexity_router",
            "complexity_router_config": {
                "tiers": tiers,
                "keyword_tier_rules": rules,
                "modality_routing": False,
                "session_affinity": False,
                "deployment_affinity": False,
                "escalation_keywords": [],
                "context_compaction": False,
                "max_tokens_from_tier_model": False,
            },
            "complexity_router_default_model": "tools_fast",
        },
        "model_info": {"id": "smart--auto"},
    }


def test_clients_switch_on_both_checks_without_which_a_key_refuses_nothing():
    made = config({"llm_router.clients": {"one": {"aliases": ["coding"]}}})
    assert made["general_settings"]["custom_auth"] == "homelab_llm_auth.user_api_key_auth"
    assert made["general_settings"]["custom_auth_run_common_checks"] is True
    assert made["litellm_settings"]["enable_post_custom_auth_checks"] is True
    assert not {"custom_auth", "custom_auth_run_common_checks"} & set(config()["general_settings"])
    assert "enable_post_custom_auth_checks" not in config()["litellm_settings"]


def test_probes_decide_the_routing_and_their_verdicts_outlive_a_round():
    general = settings("general_settings", health={"interval_s": 100})
    assert general["background_health_checks"] is general["enable_health_check_routing"] is True
    assert (general["health_check_interval"], general["health_check_staleness_threshold"]) == (100, 300)
    assert not [key for key in settings("general_settings") if "health" in key]


def test_what_is_not_known_to_be_in_memory_is_not_probed():
    host = {"engine": "external", "managed": False, "url": "http://studio:1234"}
    model = {"source": {"kind": "external", "name": "mlx"}, "context_tokens": 4096}
    changes = {
        "hosts.studio": host,
        "llm_models.mlx": model,
        "llm_assignments.coding.1": {"model": "mlx", "host": "studio"},
        "llm_router.health": {"interval_s": 60, "timeout_s": 9.0},
    }
    made = {entry["model_info"]["id"]: entry["model_info"] for entry in config(changes)["model_list"]}
    assert made["studio--mlx--coding"]["disable_background_health_check"] is True
    assert "health_check_timeout" not in made["studio--mlx--coding"]
    assert (made["gpus--big--coding"]["health_check_timeout"], made["gpus--big--coding"]["health_check_max_tokens"]) == (9.0, 1)
    assert "health_check_max_tokens" not in made["gpus--vectors--embedding"]


def test_an_engine_that_wants_a_key_gets_it_from_the_proxys_environment():
    changes = {
        "hosts.studio": {"engine": "external", "managed": False, "url": "http://studio:1234", "api_key_variable": "VLLM_API_KEY"},
        "llm_models.mlx": {"source": {"kind": "external", "name": "mlx"}, "context_tokens": 4096},
        "llm_assignments.coding.1": {"model": "mlx", "host": "studio"},
    }
    keys = {entry["model_info"]["id"]: entry["litellm_params"]["api_key"] for entry in config(changes)["model_list"]}
    assert keys == {name: "os.environ/VLLM_API_KEY" if name.startswith("studio--") else "none" for name in keys}
    assert "studio--mlx--coding" in keys


def test_several_routers_share_what_they_know_through_redis_and_probe_once():
    general = settings("general_settings", redis={"host": "redis.lan", "password": True, "tls": True})
    shared = {"host": "redis.lan", "port": 6379, "password": "os.environ/REDIS_PASSWORD", "ssl": True}
    assert general["coordination_redis"] == shared
    assert "use_shared_health_check" not in general
    both = settings("general_settings", redis={"host": "redis.lan"}, health={"interval_s": 60})
    assert both["use_shared_health_check"] is True
    assert both["coordination_redis"] == {"host": "redis.lan", "port": 6379}


def test_metrics_need_a_key_and_logs_can_be_read_by_machines():
    made = settings("litellm_settings", prometheus=True, json_logs=True)
    assert (made["callbacks"], made["require_auth_for_metrics_endpoint"], made["json_logs"]) == (["prometheus"], True, True)
    assert not {"callbacks", "json_logs"} & set(settings("litellm_settings"))


def test_the_text_is_the_configuration_and_names_what_it_comes_from():
    made = config()
    text = config_text(made, "home\nlab")
    header, content, *_rest = text.splitlines()
    assert header == "# Made by homelab.llm from the inventory home lab: change that, not this file."
    assert content == f"# Content: {config_hash(made)}"
    assert yaml.safe_load(text) == made
    assert "&" not in text


def test_what_has_no_part_in_the_routing_changes_no_byte():
    other = config({"llm_workloads.coding.description": "something else", "llm_policy.runs": 9})
    assert config_text(other, "test") == config_text(config(), "test")
    assert config_text(config({"llm_router.timeout_s": 9.0}), "test") != config_text(config(), "test")
