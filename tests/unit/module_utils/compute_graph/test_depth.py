"""A model laid out from a few of its layers takes what it takes from all of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.module_utils import compute_buffers as module
from plugins.module_utils.compute_graph.allocator import Arena
from plugins.module_utils.compute_graph.depth import Walk, shortened
from plugins.module_utils.compute_graph.families import BUILDERS
from plugins.module_utils.compute_graph.lifetimes import lifetimes, slot_sizes
from plugins.module_utils.compute_graph.scheduler import schedule
from plugins.module_utils.compute_graph.weights import WeightBytes
from plugins.module_utils.memory_settings import Pool, Settings, SettingsError, for_model, resolved
from plugins.module_utils.model_shape import describe
from tests.unit.measured import models

POOLS = tuple(Pool(f"gpu{index}", "gpu", 8000.0) for index in range(3))


def shape_of(name):
    return describe(models()[name]["metadata"], models()[name]["tensors_summary"])


def from_all_layers(shape, plan, devices):
    """Bytes of each buffer and the number of parts, without anything that saves time."""
    layers = tuple(range(shape.block_count))
    graph = module.graph_of.__wrapped__(shape, plan, layers)
    pipeline = devices > 1 and plan.full_offload and plan.kv_offload
    lives = lifetimes(schedule(graph, devices, pipeline), graph, devices + 1)
    weights = WeightBytes(shape)
    arenas = [*(Arena(128, True, weight_bytes=weights) for _device in range(devices)), Arena(32)]
    walk = Walk(layers, layers, lives)
    assert walk.run(slot_sizes(lives, graph, arenas), arenas)
    return [arena.bytes for arena in arenas], walk.splits


def both_ways(shape, asked, pools):
    chosen = resolved(for_model(asked, shape), pools)
    plan = module.plan_of(shape, chosen, pools)
    walk, _graph = module.laid_out(shape, plan, pools)
    return ([arena.bytes for arena in walk.arenas], walk.splits), from_all_layers(shape, plan, len(pools))


@pytest.mark.parametrize(
    ("kinds", "repeats", "kept"),
    [
        ("aaaa", 1, (0, 1)),
        ("aaaaz", 1, (0, 1, 4)),
        ("aaaaz", 2, (0, 1, 2, 4)),
        ("ababab", 1, (0, 1, 2, 5)),
        ("aabaabaabz", 1, (0, 1, 2, 3, 8, 9)),
        ("abcd", 1, (0, 1, 2, 3)),
        ("a", 3, (0,)),
    ],
)
def test_every_step_from_kind_to_kind_is_built(kinds, repeats, kept):
    assert shortened(kinds, repeats) == kept


SAMPLE = [
    ("llama3.2-3b-q4_K_M", {}, 0),
    ("llama3.2-3b-q4_K_M", {"parallel": 4, "kv_type_k": "q8_0", "kv_type_v": "q8_0", "flash_attention": "on"}, 2),
    ("llama3.2-3b-q4_K_M", {"gpu_layers": 9}, 1),
    ("gemma3-4b-q4_K_M", {"parallel": 2}, 1),
    ("gemma3-4b-q4_K_M", {"flash_attention": "off"}, 2),
]


@pytest.mark.parametrize(("name", "changes", "devices"), SAMPLE)
def test_a_few_layers_are_enough(name, changes, devices):
    few, every = both_ways(shape_of(name), Settings(4096, **changes), POOLS[:devices])
    assert few == every


@st.composite
def loads(draw):
    """Settings, and how many accelerators there are."""
    flash = draw(st.sampled_from(["on", "off"]))
    kv_type = draw(st.sampled_from(["f16", "q8_0", "q4_0"])) if flash == "on" else "f16"
    asked = Settings(
        draw(st.sampled_from([512, 3000, 8192, 40000])),
        parallel=draw(st.integers(1, 5)),
        batch_tokens=2048,
        ubatch_tokens=draw(st.sampled_from([1, 16, 100, 512, 2048])),
        flash_attention=flash,
        kv_type_k=kv_type,
        kv_type_v=kv_type,
        gpu_layers=draw(st.one_of(st.none(), st.integers(0, 30))),
        embedding=draw(st.booleans()),
        kv_unified=draw(st.booleans()),
        swa_full=draw(st.booleans()),
        kv_offload=draw(st.sampled_from([True, True, True, False])),
    )
    return asked, draw(st.integers(0, 3))


@pytest.mark.property
@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(models())), loads())
def test_a_few_layers_are_enough_for_everything(name, load):
    asked, devices = load
    shape = shape_of(name)
    if shape.architecture not in BUILDERS:
        return
    try:
        few, every = both_ways(shape, asked, POOLS[:devices])
    except SettingsError:
        return
    assert few == every
