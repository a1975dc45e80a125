"""A host's fit as data and as a table."""

from __future__ import annotations

from functools import cache

from plugins.module_utils.fit_report import accelerators_data, fit_table, host_memory_data, models_data
from plugins.module_utils.memory import PARTS
from plugins.module_utils.packing import Budget, DeclaredDemand, fit_host
from tests.unit.module_utils.test_packing import GIB, gpu, mac, predicted, ram


@cache
def asked(*budgets, **changes):
    demands = {"llama": predicted(**changes), "other": DeclaredDemand(1 * GIB)}
    return fit_host(demands, list(budgets)), list(budgets)


def test_models_have_parts_in_each_memory_that_add_up():
    fit, _budgets = asked(gpu(0, 8))
    first, second = models_data(fit)
    assert (first["model"], first["accelerators"], first["spilled_mib"]) == ("llama", ["gpu0"], 0)
    assert [pool["name"] for pool in first["pools"]] == ["gpu0", "host"]
    for pool in first["pools"]:
        assert abs(sum(pool[part] for part in PARTS) - pool["total_mib"]) < 1
    assert (first["offloaded_layers"], first["layer_count"]) == (29, 29)
    assert (second["bound"], second["pools"], second["layer_count"]) == ("declared", [], None)


def test_accelerators_have_a_verdict():
    cases = [
        ((gpu(0, 8),), ["fits"]),
        ((gpu(0, 2),), ["over"]),
        ((gpu(0, 8), ram(0.1)), ["fits", "over"]),
        ((mac(4, wired_limit_mib=4.0 * GIB, headroom_mib=100),), ["over"]),
    ]
    for budgets, expected in cases:
        fit, shown = asked(*budgets)
        assert [item["verdict"] for item in accelerators_data(fit, shown)] == expected, budgets


def test_layers_that_spill_leave_an_accelerator_full_but_not_overfull():
    budgets = [gpu(0, 2)]
    (found,) = accelerators_data(fit_host({"llama": predicted()}, budgets), budgets)
    assert (found["verdict"], found["free_mib"] >= 0) == ("spills", True)


def test_the_table_has_a_line_for_each_memory_and_says_what_is_missing():
    fit, budgets = asked(gpu(0, 2))
    table = fit_table(fit, budgets)
    assert table.splitlines()[0].split()[:4] == ["model", "memory", "weights", "kv"]
    assert "would spill to the CPU" in table
    assert "host memory" in table
    assert "so much or less" in table
    assert "?" in next(line for line in table.splitlines() if line.startswith("other"))


def test_a_host_without_a_known_memory_says_so():
    fit, budgets = asked(gpu(0, 8))
    assert host_memory_data(fit)["budget_mib"] is None
    assert any(line.startswith("host") and line.endswith("not known") for line in fit_table(fit, budgets).splitlines())


def test_the_hosts_memory_is_counted_where_it_is_described():
    fit, budgets = asked(gpu(0, 8), ram(0.1))
    assert "The host's own memory lacks" in fit_table(fit, budgets)


def test_an_empty_host_is_no_error():
    budgets = [Budget("gpu0", "gpu", 1024.0)]
    fit = fit_host({}, budgets)
    assert models_data(fit) == []
    assert "gpu0" in fit_table(fit, budgets)
