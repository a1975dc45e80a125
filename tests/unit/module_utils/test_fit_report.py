"""A host's fit as data and as a table."""

from __future__ import annotations

from functools import cache

import pytest

from plugins.module_utils.fit_remedies import Remedy, missing_mib
from plugins.module_utils.fit_report import (
    accelerators_data,
    fit_table,
    headline,
    host_memory_data,
    models_data,
    remedy_sentences,
    short_names,
)
from plugins.module_utils.memory import PARTS
from plugins.module_utils.memory_settings import Settings, resolved
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
    assert table.splitlines()[0].split()[:4] == ["GiB", "weights", "kv", "cache"]
    assert "find no room and would run on the CPU, which is slow." in table
    assert "So much or less (llama):" in table
    assert max(map(len, table.splitlines())) <= 100
    lines = table.splitlines()
    assert "?" in lines[lines.index("other") + 1]


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


def settings_for(fit, tokens=4096, **changes):
    found = resolved(Settings(tokens, **changes), ())
    return {item.model: found for item in fit.placed}


def test_a_model_is_shown_with_its_settings():
    fit, budgets = asked(gpu(0, 8))
    settings = settings_for(fit, parallel=2, kv_type_v="q8_0", engine="ollama")
    assert "llama: 4096 tokens x 2 in parallel, batch 1024, kv cache f16 and q8_0" in fit_table(fit, budgets, settings)
    assert models_data(fit, settings)[0]["settings"]["cache_ram_mib"] == 8192


def test_a_long_name_and_long_sentences_stay_within_the_width():
    name = f"hf.co/somebody/{'long-' * 12}GGUF:Q4_K_XL"
    budgets = [gpu(0, 2), gpu(1, 1), ram(1)]
    fit = fit_host({name: predicted(cache_ram_mib=4096), "b": predicted("gemma3-4b-q4_K_M")}, budgets)
    table = fit_table(fit, budgets, settings_for(fit, 131072, parallel=16, kv_type_k="q8_0"), [Remedy({}, None, True, 9e9)])
    assert f"\n{name}:\n 131072 tokens" in table
    assert max(map(len, table.splitlines())) <= 100


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (["/a/b.gguf", "c:1"], ["b.gguf", "c:1"]),
        (["/a/b.gguf", "/c/b.gguf"], ["/a/b.gguf", "/c/b.gguf"]),
        (["https://host/x/b.gguf", "hf.co/user/b:c"], ["b.gguf", "hf.co/user/b:c"]),
        (["/a/"], ["/a/"]),
    ],
)
def test_a_path_is_called_by_its_last_part(models, expected):
    fit = fit_host({model: DeclaredDemand(1.0) for model in models}, [gpu(0, 8)])
    assert list(short_names(fit).values()) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], []),
        ([Remedy({"kv_type": "q8_0"})], ["It would fit with kv_type=q8_0."]),
        (
            [Remedy({"kv_type": "q8_0", "cache_ram_mib": 0}), Remedy({"context_tokens": 8192}, "/a/b")],
            ["It would fit with kv_type=q8_0 cache_ram_mib=0, or with context_tokens=8192 for b."],
        ),
        ([Remedy({"parallel": 1}, None, True, 2048)], ["No setting is enough: with parallel=1 2.00 GiB still find no room."]),
        ([Remedy({}, None, True, 2048)], ["No setting is enough 2.00 GiB still find no room."]),
    ],
)
def test_what_mends_it_is_said(found, expected):
    told = remedy_sentences(found, {"/a/b": "b"})
    assert [sentence.partition(" Take a smaller")[0] for sentence in told] == expected


@pytest.mark.parametrize(
    ("budgets", "expected"),
    [
        ((gpu(0, 2),), "llama and other do not fit."),
        ((gpu(0, 3),), "other does not fit while the others are in memory."),
        ((gpu(0, 8), ram(0.1)), "The host's own memory is too small for what the models need of it beside the accelerators."),
    ],
)
def test_the_headline_names_what_does_not_fit(budgets, expected):
    fit, _budgets = asked(*budgets)
    assert headline(fit) == expected


def test_what_macos_keeps_from_its_gpu_is_said():
    fit, budgets = asked(mac(5))
    assert "macOS lets its GPU use 3.33 of 5.00 GiB; sysctl iogpu.wired_limit_mb raises it" in fit_table(fit, budgets)


def test_what_lacks_on_a_host_without_accelerators_is_said_once():
    budgets = [ram(2)]
    fit = fit_host({"llama": predicted()}, budgets)
    table = fit_table(fit, budgets)
    assert "llama: 0.46 GiB find no room." in table
    assert "The host's own memory lacks" not in table
    assert missing_mib(fit) == pytest.approx(fit.spilled_mib)
