"""Ollama before 0.30: layers laid out by size, the reserve of each device, RAM for the rest. Sums in the comments, in MiB."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plugins.plugin_utils.admission import EngineHost, EngineShape, Footprint, replay
from plugins.plugin_utils.admission_layout import Demand, Layers, layout
from plugins.plugin_utils.admission_prediction import Seen
from tests.unit.admissions import GIB, OLD, SETTLED, cpu, gpu, gpus, kinds, mac, model, names

MIB = 2**20
AUTO = Demand(-1, False, False)
FULL = Demand(-1, True, False)


def laid_out(sizes, free, demand=AUTO, graph=0, **integrated):
    """Name -> layers on it; devices g0, g1 … with so many MiB free, without a reserve."""
    devices = [gpu(64, f"g{index}", integrated=f"g{index}" in integrated) for index in range(len(free))]
    seen = [Seen(device, size * MIB) for device, size in zip(devices, free, strict=True)]
    reserves = {device.name: 0 for device in devices}
    found = layout(Layers(tuple(size * MIB for size in sizes), graph * MIB), seen, reserves, demand)
    return {name: count for name, (count, _) in found.placed.items() if count}


LAYOUTS = [
    ([50, 50, 50], [256], AUTO, 0, {"g0": 3}),
    # 2 x 100 of 256
    ([100, 100, 100], [256], AUTO, 0, {"g0": 2}),
    # the emptiest device holds them all
    ([50, 50, 50], [100, 200], AUTO, 0, {"g1": 3}),
    # none does: both, filled to the smallest sufficient share, from the last layer on the less empty one
    ([50, 50, 50, 50], [100, 120], AUTO, 0, {"g0": 2, "g1": 2}),
    # the graph is reserved on the device: 200 - 60 leave room for 2 of 3
    ([50, 50, 50], [200], AUTO, 60, {"g0": 2}),
    # the output is the last and the largest: without it both others fit
    ([50, 50, 300], [120], AUTO, 0, {"g0": 2}),
    ([50, 50, 50], [256], Demand(1, False, False), 0, {"g0": 1}),
    ([50, 50, 50], [256], Demand(0, False, False), 0, {}),
    # a demanded number is forced where nothing else is loaded
    ([50, 50, 50], [60], Demand(3, False, False), 0, {"g0": 3}),
    ([50, 50, 50], [60], Demand(3, True, False), 0, {"g0": 1}),
    # spread: over both although one is enough
    ([50, 50, 50, 50], [400, 400], Demand(-1, True, True), 0, {"g0": 2, "g1": 2}),
]


@pytest.mark.parametrize(("sizes", "free", "demand", "graph", "expected"), LAYOUTS)
def test_layouts(sizes, free, demand, graph, expected):
    assert laid_out(sizes, free, demand, graph) == expected


def test_discrete_devices_are_filled_first():
    assert laid_out([50, 50, 50], [1000, 200], g0=True) == {"g1": 3}
    assert laid_out([50, 50, 50, 50, 50], [1000, 200], FULL, g0=True) == {"g1": 4, "g0": 1}


# What runs in Ollama's own runner is measured: 9 parts of 1,024 MiB for 8 layers and the output.
OWN = EngineShape("qwen3", 8, 4096, 32, 8, context_length=131072)


def own(name, real_gib, **more):
    return model(name, real_gib - 1, real_gib, shape=OWN, **more)


def test_the_first_takes_what_fits_and_further_ones_fit_whole_or_evict():
    """16 GiB less 457 of reserve. a: 9 whole. b: 9 of 16,384 - 9,216 - 457 = 6,711: six of nine layers, so a leaves."""
    result = replay(gpus(16), SETTLED, OLD, [own("a", 9), own("b", 9)])
    assert (result.verdict, result.evicted, names(result.residents)) == ("evicts", ("a",), ["b"])
    assert "6 layers find room" in result.reason
    # 9 and 6 (nine parts of 683): 6,144 within 6,711
    assert replay(gpus(16), SETTLED, OLD, [own("a", 9), own("b", 6)]).stays
    # alone and too large it lies partly in RAM: 15 of 18 parts of 1 GiB
    alone = replay(gpus(16), SETTLED, OLD, [own("a", 18)])
    assert (alone.verdict, alone.residents[0].placement) == ("spills", "partial")


def test_the_overhead_of_the_settings_is_reserved():
    """6,711 less 1,024: 6,144 no longer fit."""
    settings = replace(SETTLED, gpu_overhead_mib=1024)
    assert replay(gpus(16), settings, OLD, [own("a", 9), own("b", 6)]).evicted == ("a",)


def test_layers_find_the_emptier_device_and_a_small_one_first_costs_the_large_its_device():
    """2 x 22.4 GiB = 22,938: a on gpu0, b on gpu1; x of 20 GiB: each has 22,938 - 6,144 - 457 = 16,337 left: split."""
    models = [own("a", 6), own("b", 6), own("x", 20)]
    result = replay(gpus(22.4, 22.4), SETTLED, OLD, models)
    assert [(item.name, item.placement) for item in result.residents] == [("a", "whole"), ("b", "whole"), ("x", "split")]
    first = replay(gpus(22.4, 22.4), SETTLED, OLD, models[::-1])
    assert [item.accelerators for item in first.residents] == [("gpu0",), ("gpu1",), ("gpu1",)]
    assert first.stays


def test_real_layers_and_graph_are_taken_where_they_are_known():
    """Three layers of 2,000 and a graph of 500 on 8,192 - 457 = 7,735: 6,500 fit; a graph of 2,000 does not."""
    shape = replace(OWN, block_count=2)
    sizes = (2000.0, 2000.0, 2000.0)
    fits = model("a", 5, shape=shape, real=Footprint(6500, layers_mib=sizes, graph_mib=500))
    assert replay(gpus(8), SETTLED, OLD, [fits]).stays
    large = model("a", 5, shape=shape, real=Footprint(8000, layers_mib=sizes, graph_mib=2000))
    assert replay(gpus(8), SETTLED, OLD, [large]).verdict == "spills"


def test_llama_cpps_models_are_laid_out_by_an_estimate():
    """llama, 4 GiB file, 4,096 tokens: layers 4,096 + 512 of cache; graph 4 x 512 x (1 + 4 x 4,096 + 4,096 x 33) bytes = 296.

    Kept free besides: one layer, 4,096 / 33 + 16 = 140. 4,608 + 296 + 140 + 457 = 5,501: 5.4 GiB hold it, 5.3 do not.
    """
    assert replay(gpus(5.4), SETTLED, OLD, [model("a", 4, 4.6)]).residents[0].placement == "whole"
    assert replay(gpus(5.3), SETTLED, OLD, [model("a", 4, 4.6)]).residents[0].placement == "partial"


@pytest.mark.parametrize(
    ("settings", "fits"),
    [
        # 32,768 tokens: cache 4,096, graph 4 x 512 x (16,385 + 32,768 x 33) = 2,144, layer 252
        ({}, 11.0),
        # a quantised cache is counted with one byte, but only where flash attention was switched on
        ({"kv_cache_type": "q8_0"}, 11.0),
        ({"kv_cache_type": "q8_0", "flash_attention": True}, 9.0),
    ],
)
def test_the_estimate_of_a_long_context(settings, fits):
    chosen = replace(SETTLED, context_length=32768, **settings)
    assert replay(gpus(fits), chosen, OLD, [model("a", 4, 8)]).residents[0].placement == "whole"
    assert replay(gpus(fits - 0.6), chosen, OLD, [model("a", 4, 8)]).residents[0].placement == "partial"


@pytest.mark.parametrize("architecture", ["gemma", "gemma2", "command-r", "qwen2", "phi2", "stablelm", "starcoder2"])
def test_every_estimate_needs_more_than_the_weights(architecture):
    shape = EngineShape(architecture, 32, 4096, 32, (8,) * 32, context_length=8192, vocabulary=32000)
    result = replay(gpus(24), SETTLED, OLD, [model("a", 4, 5, shape=shape)])
    assert result.residents[0].predicted_mib > 4 * 1024 + 512


def test_main_gpu_pins_nothing_before_0_30():
    result = replay(gpus(16, 16), SETTLED, OLD, [own("a", 6), own("b", 6, main_gpu=0)])
    assert [item.accelerators for item in result.residents] == [("gpu0",), ("gpu1",)]


def test_ram_is_checked_with_others_loaded_and_refused_beyond_swap():
    """16 GiB of RAM, 10 of swap. a 9; b 9 over the 7 left: a leaves. x 30 over 16 + 10: refused."""
    host = cpu(16, 10)
    result = replay(host, SETTLED, OLD, [own("a", 9), own("b", 9)])
    assert (result.evicted, names(result.residents)) == (("a",), ["b"])
    assert "b needs 9,216 MiB of RAM, 7,168 MiB are free" in result.reason
    refused = replay(host, SETTLED, OLD, [own("x", 30)])
    assert (refused.verdict, names(refused.residents)) == ("refused", [])
    # alone it may use the swap
    assert replay(host, SETTLED, OLD, [own("x", 20)]).stays


def test_on_the_cpu_the_given_size_there_counts():
    """cpu_mib 6,144 instead of 9,216 + 100: two of them in 16 GiB."""
    taken = Footprint(9216, host_mib=100, cpu_mib=6144)
    models = [replace(own(name, 9), real=taken) for name in "ab"]
    result = replay(cpu(16), SETTLED, OLD, models)
    assert (result.stays, result.residents[1].real_mib) == (True, 6144)


def test_unknown_ram_is_not_checked_and_said():
    result = replay(EngineHost(), SETTLED, OLD, [own("a", 9), own("b", 9)])
    assert result.stays
    assert any("Free RAM is not known" in note for note in result.notes)


def test_num_gpu_zero_lies_in_ram():
    result = replay(gpus(16), SETTLED, OLD, [own("a", 9, num_gpu=0)])
    assert (result.stays, result.residents[0].placement, kinds(result.events)) == (True, "cpu", ["loads"])


def test_a_mac_has_no_limit_of_swap():
    result = replay(mac(16, 4), SETTLED, OLD, [own("a", 30)])
    assert result.verdict == "spills"


def test_nothing_known_but_a_file():
    """Without a shape the whole file is one layer."""
    plain = replace(model("a", 4), shape=None)
    result = replay(gpus(16), SETTLED, OLD, [plain])
    assert (result.residents[0].placement, result.residents[0].predicted_mib) == ("whole", 4 * GIB / MIB)
