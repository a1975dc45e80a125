"""The way of a request by which the plan counts; that LiteLLM goes it is tested with its real Router."""

from __future__ import annotations

import pytest

from plugins.plugin_utils.routing_walk import LEAST_MAX_FALLBACKS, Routes, max_fallbacks, walk

LEVELS = {"a": 2, "b": 2, "c": 1, "d": 1}

# name -> chains, what is asked for, where a complexity router began, the way
WAYS = {
    "a group's own orders": ({}, "a", None, "a1 a2"),
    "then its chain, with the orders of each target": ({"a": ["b", "c"]}, "a", None, "a1 a2 b1 b2 c1"),
    "a target's own chain comes before the next target": ({"a": ["b", "c"], "b": ["d"]}, "a", None, "a1 a2 b1 b2 d1 c1"),
    "nothing twice": ({"a": ["b"], "b": ["a"]}, "a", None, "a1 a2 b1 b2"),
    "in a ring all once": ({"a": ["b"], "b": ["c"], "c": ["a"]}, "b", None, "b1 b2 c1 a1 a2"),
    "a tier's chain": ({"a": ["c"]}, "smart", "a", "a1 a2 c1"),
    "a tier without a chain goes on with the router's": ({"smart": ["a", "c"]}, "smart", "a", "a1 a2 c1"),
    "after a tier's chain the router's": ({"a": ["c"], "smart": ["d"]}, "smart", "a", "a1 a2 c1 d1"),
}


@pytest.mark.parametrize(("chains", "name", "tier", "expected"), WAYS.values(), ids=WAYS)
def test_the_way_of_a_request(chains, name, tier, expected):
    attempts = walk(name, Routes(LEVELS, chains), tier)
    assert " ".join(f"{item.alias}{item.order}" for item in attempts) == expected


def test_each_deployment_after_the_first_is_a_hop_and_litellms_default_is_the_least():
    long = walk("a", Routes({**LEVELS, "a": 9}, {"a": ["b"]}))
    assert max_fallbacks([long]) == 10
    assert max_fallbacks([walk("a", Routes(LEVELS, {}))]) == LEAST_MAX_FALLBACKS
