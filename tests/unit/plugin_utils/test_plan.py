"""The plan: sizes, ports, order, reasons, refusals with the sum spelled out, and what a reader refuses."""

from __future__ import annotations

import copy

import pytest

from plugins.module_utils.memory import PARTS
from plugins.plugin_utils.intent import parse_fleet
from plugins.plugin_utils.plan import check_plan, content_hash, make_plan
from plugins.plugin_utils.plan_document import PlanDocument
from plugins.plugin_utils.plan_table import plan_table
from plugins.plugin_utils.problems import IntentError
from tests.unit.fleets import intent


def plan_of(changes=None):
    return make_plan(parse_fleet(intent(changes)), "test")


def refusal(changes):
    with pytest.raises(IntentError) as raised:
        plan_of(changes)
    return str(raised.value)


def test_the_plan_has_the_documented_shape():
    PlanDocument.model_validate(plan_of())


def test_the_same_intent_gives_the_same_plan():
    assert plan_of() == plan_of()


def test_resident_models_have_ports_sizes_and_reasons():
    mini = plan_of()["hosts"]["mini"]
    (resident,) = mini["resident"]
    assert (resident["url"], resident["port"], resident["listen_address"]) == ("http://mini.lan:8100", 8100, "mini.lan")
    # 98,362,432 bytes; 30 layers x 3 heads x (64 + 64) x 4,096 tokens x 2 bytes
    assert resident["fit"]["weights_mib"] == 93.8
    assert resident["fit"]["kv_cache_mib"] == 90.0
    assert resident["fit"]["bound"] == "upper"
    assert "the header does not say the size of the vocabulary" in resident["fit"]["reasons"]
    parts = [resident["fit"][part] for part in PARTS]
    assert resident["fit"]["total_mib"] == mini["total_mib"] == pytest.approx(sum(parts), abs=0.5)
    assert [pool["name"] for pool in resident["fit"]["pools"]] == ["ram"]
    assert resident["reason"] == "serves coding (order 2), tools_fast (order 1)"
    assert mini["budget_mib"] == 3.5 * 1024
    assert mini["free_mib"] == pytest.approx(3.5 * 1024 - mini["total_mib"])


def test_ports_follow_the_order_of_llm_models_and_do_not_move_when_one_is_added_at_the_end():
    shape = intent().variables["llm_models"]["small"]
    changes = {
        "llm_models.later": {**shape, "context_tokens": 2048},
        "llm_workloads.research": {"description": "r", "prompts": [{"id": "one", "text": "x"}]},
        "llm_assignments.research": [{"model": "later", "host": "mini"}],
    }
    residents = plan_of(changes)["hosts"]["mini"]["resident"]
    assert [(item["model"], item["port"]) for item in residents] == [("small", 8100), ("later", 8101)]


def test_a_shared_model_is_paid_once_and_the_largest_is_loaded_first():
    gpus = plan_of()["hosts"]["gpus"]
    assert gpus["total_mib"] == 20.5 * 1024
    assert {item["model"]: item["load_order"] for item in gpus["resident"]} == {"big": 1, "vectors": 2}
    assert {item["model"]: item["accelerator"] for item in gpus["resident"]} == {"big": "gpu0", "vectors": "gpu1"}


def test_a_model_larger_than_each_accelerator_is_split():
    gpus = plan_of({"llm_models.big.declared.memory_gib": 30})["hosts"]["gpus"]
    assert {item["model"]: item["accelerator"] for item in gpus["resident"]} == {"big": "split", "vectors": "gpu0"}


def test_an_overcommitted_host_is_refused_with_the_sum():
    text = refusal({"llm_models.big.declared.memory_gib": 45})
    assert "hosts.gpus" in text
    assert "vectors 0.5 GiB + big 45.0 GiB = 45.5 GiB" in text
    assert "at most 45.0 GiB (gpu0 22.5 GiB + gpu1 22.5 GiB)" in text
    assert "overcommitted by 0.5 GiB" in text


def test_a_set_that_fits_to_the_last_byte_is_accepted():
    """llama-server's own margin has to be no larger than the headroom."""
    changes = {"llm_models.big.declared.memory_gib": 44.5, "hosts.gpus.server": {"fit_target_mib": 256}}
    assert plan_of(changes)["hosts"]["gpus"]["free_mib"] == 0


def test_a_host_without_any_budget_is_refused():
    text = refusal({"hosts.gpus.accelerators.1.reserved_gib": 24})
    assert "a budget of -0.5 GiB (24.0 GiB less 24.0 GiB reserved less 0.5 GiB headroom)" in text
    assert "overcommitted" not in text


def test_a_model_of_unknown_size_is_refused():
    text = refusal({"llm_models.big.declared": None})
    assert "llm_models.big.declared: got a model of unknown size" in text


def test_a_size_nobody_asks_for_is_not_needed():
    assert plan_of({"llm_models.unused": {"source": {"kind": "ollama", "name": "unused"}, "context_tokens": 4096}})


def test_llama_cpp_serves_models_of_an_ollama_store_under_their_own_names():
    """One file twice, with other settings: two processes, not one that reloads."""
    model = {"source": {"kind": "ollama", "name": "small:1b"}, "declared": {"memory_gib": 1, "source": "test"}}
    changes = {
        "llm_models.short": {**model, "context_tokens": 512},
        "llm_models.long": {**model, "context_tokens": 1024},
        "llm_assignments.coding.1": {"model": "short", "host": "mini"},
        "llm_assignments.tools_fast.0": {"model": "long", "host": "mini"},
    }
    resident = plan_of(changes)["hosts"]["mini"]["resident"]
    assert {(item["engine_model"], item["source"]["name"]) for item in resident} == {("short", "small:1b"), ("long", "small:1b")}


def test_headroom_of_the_accelerator_wins_over_the_hosts_and_the_policys():
    changes = {"hosts.gpus.headroom_gib": 2.0, "hosts.gpus.accelerators.0.headroom_gib": 3.0}
    pools = plan_of(changes)["hosts"]["gpus"]["accelerators"]
    assert [pool["headroom_mib"] for pool in pools] == [3 * 1024, 2 * 1024]


def test_an_external_engine_without_accelerators_has_an_unknown_fit():
    host = {"engine": "external", "managed": False, "url": "http://studio:1234"}
    model = {"source": {"kind": "external", "name": "mlx"}, "context_tokens": 4096}
    changes = {"hosts.studio": host, "llm_models.mlx": model, "llm_assignments.coding.1": {"model": "mlx", "host": "studio"}}
    studio = plan_of(changes)["hosts"]["studio"]
    assert (studio["budget_mib"], studio["total_mib"], studio["free_mib"]) == (None, None, None)
    assert studio["resident"][0]["fit"]["basis"] == "unknown"
    assert studio["admission"]["stays"] is None


def test_fallbacks_that_reach_no_new_host_are_left_out_with_the_reason():
    entry = plan_of({"llm_router.fallbacks": {"coding": ["tools_fast"]}})["aliases"]["coding"]
    assert entry["fallbacks"] == []
    assert entry["fallbacks_left_out"][0]["reason"] == "served only by gpus, mini, which have failed by then"


def test_fallbacks_that_reach_a_new_host_stay():
    changes = {"llm_assignments.coding": [{"model": "big", "host": "gpus"}], "llm_router.fallbacks": {"coding": ["tools_fast"]}}
    assert plan_of(changes)["aliases"]["coding"]["fallbacks"] == ["tools_fast"]


def test_the_policy_fills_in_what_a_workload_leaves_open():
    plan = plan_of({"llm_workloads.coding.max_tokens": 99, "llm_policy.max_tokens": 5, "llm_policy.temperature": 0.5})
    assert [plan["workloads"][name]["max_tokens"] for name in ("coding", "tools_fast")] == [99, 5]
    assert plan["workloads"]["coding"]["temperature"] == 0.5
    assert plan["workloads"]["coding"]["objective"] is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"inventory": "other"}, "got a plan with inventory 'other', expected 'test'"),
        ({"schema_version": 2}, "schema_version 2, expected 1"),
        ({"aliases": {}}, "it was edited"),
    ],
)
def test_a_reader_refuses_foreign_and_edited_plans(change, words):
    document = {**copy.deepcopy(plan_of()), **change}
    if words is None:
        assert check_plan(document, "test") == document
        return
    with pytest.raises(ValueError, match=words):
        check_plan(document, "test")


@pytest.mark.parametrize("document", [None, [], "text", {}])
def test_a_reader_refuses_what_is_no_plan(document):
    with pytest.raises(ValueError, match="no plan"):
        check_plan(document, "test")


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1, "content_hash": "x"})


def test_the_table_shows_hosts_and_aliases():
    text = plan_table(plan_of())
    assert "big on gpus, then small on mini" in text
    assert "20.50 of 45.00" in text


def test_a_workload_that_nobody_serves_is_mentioned():
    changes = {"llm_workloads.research": {"description": "r", "prompts": [{"id": "one", "text": "x"}]}}
    assert "research has no deployment" in plan_table(plan_of(changes))


def test_an_address_of_the_newer_internet_is_bracketed():
    assert plan_of({"hosts.mini.address": "fe80::1"})["hosts"]["mini"]["resident"][0]["url"] == "http://[fe80::1]:8100"
