"""What holds for the routing of any fleet, over many that are made up."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

import pytest

from plugins.plugin_utils.plan_document import PlanDocument
from plugins.plugin_utils.routing import litellm_config
from plugins.plugin_utils.routing_text import config_text
from tests.unit.random_fleets import SEEDS, random_fleet, random_plan, random_routing


@pytest.fixture(scope="module")
def plans() -> dict[int, dict[str, Any]]:
    return {seed: random_plan(seed) for seed in SEEDS}


@pytest.fixture(scope="module")
def configs(plans: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {seed: litellm_config(plan) for seed, plan in plans.items()}


def groups(config: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in config["model_list"]:
        found[entry["model_name"]].append(entry)
    return found


def chains(config: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(name, targets) for item in config["router_settings"].get("fallbacks", []) for name, targets in item.items()]


def hosts(entries: list[dict[str, Any]]) -> set[str]:
    return {entry["model_info"]["host"] for entry in entries}


def test_the_fleets_have_what_is_to_be_tested(plans: dict[int, dict[str, Any]]) -> None:
    found = Counter[str]()
    for plan in plans.values():
        entries = [*plan["aliases"].values(), *plan["router"]["smart"].values()]
        found["chains"] += sum(bool(entry["fallbacks"]) for entry in entries)
        found["left out"] += sum(bool(entry["fallbacks_left_out"]) for entry in entries)
        found["embedding"] += sum(entry["mode"] == "embedding" for entry in plan["aliases"].values())
        for part in ("smart", "clients", "health", "redis", "prometheus"):
            found[part] += bool(plan["router"][part])
        found["more hops than LiteLLM's default"] += plan["router"]["max_fallbacks"] > 5
    assert len(found) == 9
    assert min(found.values()) >= 10, found


def test_a_plan_keeps_its_schema(plans: dict[int, dict[str, Any]]) -> None:
    for plan in plans.values():
        PlanDocument.model_validate(plan)


def test_the_same_fleet_gives_the_same_text(plans: dict[int, dict[str, Any]], configs: dict[int, dict[str, Any]]) -> None:
    for seed in SEEDS:
        again = litellm_config(json.loads(json.dumps(plans[seed])))
        # In the same order; writing a few hundred large files as YAML takes seconds, and says no more.
        assert json.dumps(again) == json.dumps(configs[seed])
        if seed % 20 == 0:
            assert config_text(again, "random") == config_text(configs[seed], "random")


def test_orders_are_distinct_numbers_from_one_and_each_host_stands_once(configs: dict[int, dict[str, Any]]) -> None:
    for config in configs.values():
        for entries in groups(config).values():
            if "api_base" in entries[0]["litellm_params"]:
                orders = [entry["litellm_params"]["order"] for entry in entries]
                assert orders == list(range(1, len(entries) + 1))
                assert {type(order) for order in orders} == {int}
                assert len(hosts(entries)) == len(entries)


def test_ids_differ_and_are_nobodys_name(configs: dict[int, dict[str, Any]]) -> None:
    for config in configs.values():
        ids = [entry["model_info"]["id"] for entry in config["model_list"]]
        assert len({*ids, *groups(config)}) == len(ids) + len(groups(config))


def test_everything_that_decides_waiting_is_written_out(configs: dict[int, dict[str, Any]]) -> None:
    for config in configs.values():
        assert {"num_retries", "timeout", "allowed_fails", "cooldown_time", "max_fallbacks"} <= set(config["router_settings"])
        for entries in groups(config).values():
            assert all(entry["litellm_params"].get("timeout", 1) > 0 for entry in entries)


def test_every_target_exists_has_the_same_mode_and_adds_a_host(configs: dict[int, dict[str, Any]]) -> None:
    for config in configs.values():
        found = groups(config)
        for name, targets in chains(config):
            tried = hosts([entry for entry in found[name] if "host" in entry["model_info"]])
            for target in targets:
                assert found[target][0]["model_info"]["mode"] == found[name][0]["model_info"].get("mode", "chat")
                assert not hosts(found[target]) <= tried, (name, target)
                tried |= hosts(found[target])


def test_each_name_has_one_chain_at_most_and_each_target_stands_once(configs: dict[int, dict[str, Any]]) -> None:
    for config in configs.values():
        keys = [name for name, _targets in chains(config)]
        assert len(set(keys)) == len(keys)
        assert all(len(set(targets)) == len(targets) and name not in targets for name, targets in chains(config))


def test_no_name_loses_a_host_by_what_is_left_out() -> None:
    """Whatever a person wrote, a request still reaches every host that it would have reached by its own chain."""
    for seed in SEEDS:
        fleet, routing = random_fleet(seed), random_routing(seed)
        for name in routing.names:
            said = fleet.router.fallbacks.get(name, ())
            for walk in routing.walks[name]:
                reached = {fleet.assignments[attempt.alias][attempt.order - 1].host for attempt in walk}
                assert all(routing.hosts[target] <= reached for target in said if name in fleet.assignments)


def test_nothing_is_asked_twice_and_the_hops_suffice(plans: dict[int, dict[str, Any]]) -> None:
    for seed in SEEDS:
        for walks in random_routing(seed).walks.values():
            for walk in walks:
                assert len(set(walk)) == len(walk)
                assert len(walk) - 1 <= plans[seed]["router"]["max_fallbacks"]


def test_whoever_is_asked_last_for_a_name_is_never_left_alone(plans: dict[int, dict[str, Any]]) -> None:
    for seed in SEEDS:
        for walks in random_routing(seed).walks.values():
            for walk in walks:
                last = plans[seed]["aliases"][walk[-1].alias]["deployments"][walk[-1].order - 1]
                assert last["cooldown_s"] == 0


def test_a_client_may_use_whatever_may_answer_it(plans: dict[int, dict[str, Any]]) -> None:
    for seed, plan in plans.items():
        fleet, routing = random_fleet(seed), random_routing(seed)
        for client, said in fleet.router.clients.items():
            wanted = {
                *said.aliases,
                *(attempt.alias for name in said.aliases for walk in routing.walks[name] for attempt in walk),
            }
            assert set(plan["router"]["clients"][client]["models"]) == wanted


def test_no_secret_is_in_the_text(configs: dict[int, dict[str, Any]]) -> None:
    for config in configs.values():
        general = config["general_settings"]
        secrets = [general["master_key"], general.get("coordination_redis", {}).get("password", "os.environ/none")]
        assert all(secret.startswith("os.environ/") for secret in secrets)
        assert {entry["litellm_params"].get("api_key", "none") for entry in config["model_list"]} == {"none"}
