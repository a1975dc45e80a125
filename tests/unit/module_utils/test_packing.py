"""Models on accelerators: whole where there is a way, split where there is none, and what spills when nothing helps."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.module_utils.memory import ModelFiles
from plugins.module_utils.memory_settings import Settings
from plugins.module_utils.model_shape import describe
from plugins.module_utils.packing import Budget, DeclaredDemand, PredictedDemand, fit_host, working_set_mib
from tests.unit.measured import models

GIB = 1024


def gpu(index, gib):
    return Budget(f"gpu{index}", "gpu", gib * GIB)


def ram(gib):
    return Budget("ram", "cpu", gib * GIB, backend="cpu")


def declared(*gib):
    return {f"m{index}": DeclaredDemand(size * GIB) for index, size in enumerate(gib)}


@cache
def predicted(name="llama3.2-3b-q4_K_M", context_tokens=4096, **changes):
    item = models()[name]
    asked = Settings(context_tokens, **{"cache_ram_mib": 0, **changes})
    return PredictedDemand(ModelFiles(describe(item["metadata"], item["tensors_summary"]), item["file_size"]), asked)


def where(fit):
    return {item.model: "+".join(item.accelerators) for item in fit.placed}


# sizes, accelerators -> where each is, what spills in GiB
CASES = [
    ((4, 3), [gpu(0, 8)], {"m0": "gpu0", "m1": "gpu0"}, 0),
    ((8,), [gpu(0, 8)], {"m0": "gpu0"}, 0),
    ((9,), [gpu(0, 8)], {"m0": "gpu0"}, 1),
    # each on the emptiest
    ((4, 3, 2), [gpu(0, 8), gpu(1, 8)], {"m0": "gpu0", "m1": "gpu1", "m2": "gpu1"}, 0),
    # the emptiest first would leave no room for the last: another way is found
    ((5, 4, 4, 3), [gpu(0, 8), gpu(1, 8)], {"m0": "gpu0", "m1": "gpu1", "m2": "gpu1", "m3": "gpu0"}, 0),
    ((6, 6, 6), [gpu(0, 8), gpu(1, 12)], {"m0": "gpu1", "m1": "gpu0", "m2": "gpu1"}, 0),
    # larger than each: split, the small one stays whole
    ((12, 1), [gpu(0, 8), gpu(1, 8)], {"m0": "gpu0+gpu1", "m1": "gpu0"}, 0),
    # a sum that fits but does not pack: one is split
    ((5, 5, 5), [gpu(0, 8), gpu(1, 8)], {"m0": "gpu0", "m1": "gpu1", "m2": "gpu0+gpu1"}, 0),
    ((5, 5, 7), [gpu(0, 8), gpu(1, 8)], {"m0": "gpu0", "m1": "gpu0+gpu1", "m2": "gpu1"}, 1),
    ((3, 3), [ram(8)], {"m0": "ram", "m1": "ram"}, 0),
    ((6, 6), [ram(8)], {"m0": "ram", "m1": "ram"}, 4),
    # memory beside a GPU is no place for a model
    ((6, 6), [gpu(0, 8), ram(64)], {"m0": "gpu0", "m1": "gpu0"}, 4),
    ((), [gpu(0, 8)], {}, 0),
]


@pytest.mark.parametrize(("sizes", "budgets", "expected", "spilled_gib"), CASES)
def test_declared_models_are_packed(sizes, budgets, expected, spilled_gib):
    fit = fit_host(declared(*sizes), budgets)
    assert sum(item.spilled_mib for item in fit.placed) == pytest.approx(spilled_gib * GIB)
    assert fit.fits is (spilled_gib == 0)
    if spilled_gib == 0:
        assert where(fit) == expected


def test_a_cpu_pool_beside_a_gpu_is_used_where_the_engine_can_be_told():
    fit = fit_host(declared(6, 6), [gpu(0, 8), ram(64)], cpu_too=True)
    assert set(where(fit).values()) == {"gpu0", "ram"}
    assert fit.fits


WORKING_SETS = [(16, None, 16 * 2 / 3), (36, None, 27), (64, None, 48), (128, None, 96), (96, 88, 88), (96, 200, 96)]


@pytest.mark.parametrize(("memory_gib", "limit_gib", "expected_gib"), WORKING_SETS)
def test_a_mac_lets_its_gpu_use_a_part_of_its_memory(memory_gib, limit_gib, expected_gib):
    limit = None if limit_gib is None else limit_gib * GIB
    assert working_set_mib(memory_gib * GIB, limit) == pytest.approx(expected_gib * GIB)


def mac(gib, **changes):
    return Budget("metal", "unified", gib * GIB, backend="metal", **changes)


@pytest.mark.parametrize(
    ("budget", "expected_gib"),
    [
        (mac(64), 48),
        (mac(64, reserved_mib=20 * GIB), 44),
        (mac(64, headroom_mib=GIB), 47),
        (mac(64, wired_limit_mib=56.0 * GIB, reserved_mib=4 * GIB), 56),
    ],
)
def test_the_budget_of_a_mac(budget, expected_gib):
    assert budget.budget_mib == expected_gib * GIB


def test_a_mac_needs_its_memory_for_the_rest_of_the_process_too():
    demands = {"m": predicted(cache_ram_mib=6000)}
    fit = fit_host(demands, [mac(8, wired_limit_mib=8.0 * GIB)])
    assert (fit.spills, fit.fits) == (False, False)
    assert fit.ram_missing_mib > 0
    assert fit_host({"m": predicted()}, [mac(8, wired_limit_mib=8.0 * GIB)]).fits


def test_the_memory_beside_a_gpu_is_counted_where_it_is_known():
    demands = {"m": predicted(cache_ram_mib=4000)}
    unknown, small, large = (fit_host(demands, [gpu(0, 8), *beside]) for beside in ([], [ram(2)], [ram(8)]))
    assert (unknown.ram_budget_mib, unknown.fits) == (None, True)
    assert unknown.ram_needed_mib == pytest.approx(small.ram_needed_mib)
    assert (small.fits, large.fits) == (False, True)
    assert small.ram_missing_mib == pytest.approx(small.ram_needed_mib - 2 * GIB)


def test_layers_that_find_no_room_are_counted():
    whole = fit_host({"m": predicted()}, [gpu(0, 8)])
    fit = fit_host({"m": predicted()}, [gpu(0, 2)])
    (item,) = fit.placed
    assert (whole.fits, fit.fits) == (True, False)
    assert 0 < item.spilled_layers < 29
    assert item.load.total_mib <= 2 * GIB < item.load.total_mib + item.spilled_mib
    assert item.load.total_mib + item.spilled_mib == pytest.approx(whole.placed[0].load.total_mib)


def test_a_split_pays_for_two_processes():
    one = fit_host({"m": predicted()}, [gpu(0, 8)]).placed[0].load
    two = fit_host({"m": predicted()}, [gpu(0, 2.5), gpu(1, 2.5)]).placed[0].load
    assert [name for name, size in two.accelerator_mib if size] == ["gpu0", "gpu1"]
    assert two.total_mib >= one.total_mib + 500


def test_a_split_follows_what_is_free():
    fit = fit_host({"m": predicted(), "small": DeclaredDemand(0.1 * GIB)}, [gpu(0, 2.2), gpu(1, 2.6)])
    assert fit.fits
    assert where(fit)["m"] == "gpu0+gpu1"


def test_many_accelerators_and_models_end():
    budgets = [gpu(index, 8 + index / 8) for index in range(8)]
    assert not fit_host(declared(*[5 + index / 16 for index in range(14)]), budgets).fits
    assert len(fit_host(declared(*[4.5 + index / 16 for index in range(12)]), budgets).placed) == 12


gib = st.floats(0.1, 12)


@settings(max_examples=40, deadline=None)
@given(st.lists(gib, max_size=6), st.lists(gib, min_size=1, max_size=3))
def test_nothing_is_overfull_and_nothing_is_lost(sizes, memories):
    budgets = [gpu(index, size) for index, size in enumerate(memories)]
    fit = fit_host(declared(*sizes), budgets)
    assert [item.model for item in fit.placed] == list(declared(*sizes))
    placed = sum(item.load.total_mib for item in fit.placed)
    assert placed == pytest.approx(sum(sizes) * GIB)
    assert sum(fit.free_mib.values()) == pytest.approx(sum(memories) * GIB - placed, abs=1e-3)
    if fit.fits:
        assert min(fit.free_mib.values()) >= -1e-3
    if sum(sizes) > sum(memories) + 1e-6:
        assert not fit.fits
