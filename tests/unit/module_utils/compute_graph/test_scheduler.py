"""Who computes what, and what is copied: small graphs on a CPU, one device, two devices."""

from __future__ import annotations

import pytest

from plugins.module_utils.compute_graph.scheduler import PIPELINE_COPIES, schedule
from plugins.module_utils.compute_graph.tensors import COPY, GET_ROWS, I32, Graph, input_tensor, linear, made, outside, over

WIDTH = 64


def chain(homes, tokens=64, able=True):
    """Embeddings looked up on the host (the last backend), then one matrix for each home."""
    devices = 1 if max(homes, default=0) < 2 else max(homes)
    graph = Graph()
    value = made(GET_ROWS, (WIDTH, tokens, 1, 1), (outside(devices), input_tensor((tokens, 1, 1, 1), I32)))
    for home in homes:
        value = over(linear(outside(home), value, WIDTH))
        value.src[0].on_device = value.on_device = able
        graph.mark(value)
    graph.expand(value)
    return graph


def told(found):
    """Backend of each node; a copy in brackets."""
    return [[node.backend] if node.op == COPY else node.backend for node in found.nodes]


@pytest.mark.parametrize(
    ("homes", "tokens", "devices", "expected", "splits"),
    [
        # the table's rows are looked up on the host, and copied
        ([0, 0], 64, 1, [1, [0], 0, 0, 0, 0], 2),
        # a small batch stays with the host's weights, a large one goes to the device with a copy of them
        ([1, 1], 8, 1, [1, 1, 1, 1, 1], 1),
        ([1, 1], 64, 1, [1, [0], [0], 0, 0, [0], 0, 0], 3),
        ([0, 1], 8, 1, [1, [0], 0, 0, [1], 1, 1], 3),
        ([0, 1], 64, 1, [1, [0], 0, 0, [0], 0, 0], 3),
    ],
)
def test_one_device(homes, tokens, devices, expected, splits):
    found = schedule(chain(homes, tokens), devices)
    assert (told(found), len(found.split_starts)) == (expected, splits)


def test_without_a_device_nothing_is_copied():
    graph = chain([0, 0])
    found = schedule(graph, 0)
    assert (told(found), found.nodes, found.split_starts) == ([0] * 5, graph.nodes, [0])


def test_without_offloading_large_batches_stay_too():
    assert told(schedule(chain([1, 1]), 1, offload=False)) == [1] * 5


def test_what_a_device_cannot_compute_the_host_does():
    found = schedule(chain([0, 0], able=False), 1)
    assert set(map(str, told(found))) == {"1", "[1]"}


def test_a_wish_of_the_builder_comes_first():
    graph = chain([0, 0])
    graph.nodes[2].pinned = 1
    assert [node.backend for node in graph.nodes if schedule(graph, 1)] == [1, 0, 1, 0, 0]


@pytest.mark.parametrize(("pipeline", "copies"), [(False, 1), (True, PIPELINE_COPIES)])
def test_a_pipeline_keeps_copies_of_everything_that_passes(pipeline, copies):
    graph = chain([0, 0, 1, 1])
    for node in graph.nodes:
        for source in node.src:
            if source.weight and source.home == 1 and node.op == GET_ROWS:
                source.home = 2
    inputs = len(graph.leaves)
    found = schedule(graph, 2, pipeline)
    passed = [node for node in found.nodes if node.op == COPY]
    assert [node.backend for node in passed] == [0, 1]
    assert (found.pipelined, all(node.output is pipeline for node in passed)) == (pipeline, True)
    assert len(found.leaves) == (inputs + len(passed)) * copies if pipeline else inputs
    for node, sources in zip(found.nodes, found.sources, strict=True):
        assert node.op == COPY or all(source.home in (None, node.backend) for source in sources)


def test_a_graph_is_scheduled_twice_in_the_same_way():
    graph = chain([0, 0])
    assert told(schedule(graph, 1)) == told(schedule(graph, 1))
    assert told(schedule(graph, 0)) == [0] * 5
