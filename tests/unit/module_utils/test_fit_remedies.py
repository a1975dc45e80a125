"""What would make models fit: tried, proved, the cheapest first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plugins.module_utils.fit_remedies import remedies
from plugins.module_utils.packing import fit_host
from tests.unit.module_utils.test_packing import GIB, gpu, mac, predicted, ram

LONG = {"context_tokens": 131072}


def found(demands, *budgets):
    return remedies(demands, budgets, False, fit_host(demands, budgets))


# demands, accelerators -> what mends it
CASES = [
    ({"a": predicted()}, [gpu(0, 8)], []),
    ({}, [gpu(0, 8)], []),
    ({"a": predicted(**LONG)}, [gpu(0, 12)], [({"kv_type": "q8_0"}, None), ({"context_tokens": 65536}, None)]),
    ({"a": predicted(cache_ram_mib=8192)}, [ram(8)], [({"cache_ram_mib": 0}, None)]),
    ({"a": predicted(cache_ram_mib=8192)}, [gpu(0, 8), ram(4)], [({"cache_ram_mib": 0}, None)]),
    ({"a": predicted(cache_ram_mib=8192)}, [mac(8, wired_limit_mib=8.0 * GIB)], [({"cache_ram_mib": 0}, None)]),
    # one of two models needs a shorter context, the other stays as it is
    (
        {"a": predicted(context_tokens=8192), "b": predicted("mistral-7b-v0.3-q4_K_M", context_tokens=32768)},
        [gpu(0, 10.5)],
        [({"kv_type": "q8_0"}, None), ({"context_tokens": 16384}, "b")],
    ),
    ({"a": predicted(context_tokens=16384, parallel=8)}, [gpu(0, 8)], [({"parallel": 1}, None)]),
]


@pytest.mark.parametrize(("demands", "budgets", "expected"), CASES)
def test_settings_that_mend_are_found(demands, budgets, expected):
    told = [(dict(item.settings), item.model) for item in found(demands, *budgets)]
    assert told[: len(expected)] == expected
    assert bool(told) is bool(expected)


@pytest.mark.parametrize(("demands", "budgets"), [case[:2] for case in CASES if case[2]])
def test_what_is_found_mends_it(demands, budgets):
    for item in found(demands, *budgets):
        assert fit_host({name: mended(demand, item, name) for name, demand in demands.items()}, budgets).fits


def mended(demand, item, name):
    if item.model not in (None, name):
        return demand
    said = dict(item.settings)
    kind = said.pop("kv_type", None)
    said.update({"kv_type_k": kind, "kv_type_v": kind} if kind else {})
    if "context_tokens" in said:
        said["context_tokens"] = min(said["context_tokens"], demand.settings.context_tokens)
    return replace(demand, settings=replace(demand.settings, **said))


def test_several_together_mend_what_none_does_alone():
    demands = {"a": predicted(context_tokens=131072, flash_attention="off", ubatch_tokens=2048, parallel=2, cache_ram_mib=8192)}
    (item,) = found(demands, gpu(0, 40), ram(2))
    assert (item.least, list(item.settings)) == (False, ["cache_ram_mib", "flash_attention"])


def test_where_nothing_is_enough_the_least_is_told():
    (item,) = found({"a": predicted("qwen2.5-72b-q4_K_M", **LONG)}, gpu(0, 24))
    assert (item.least, item.settings["context_tokens"], item.settings["kv_type"]) == (True, 2048, "q8_0")
    assert item.missing_mib > 15 * GIB


def test_settings_that_an_engine_would_refuse_are_no_remedy():
    # Without flash attention a quantised V cache is refused, so it is not tried before flash attention is on.
    demands = {"a": predicted(context_tokens=32768, flash_attention="off")}
    assert {"kv_type": "q8_0"} not in [dict(item.settings) for item in found(demands, gpu(0, 7))]
