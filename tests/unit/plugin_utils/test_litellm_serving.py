"""How long a proxy drains: a table of configurations."""

from __future__ import annotations

import pytest

from plugins.plugin_utils.litellm_release import parse_release
from plugins.plugin_utils.litellm_serving import drain_s


def entry(name, timeout=30, **more):
    return {"model_name": name, "litellm_params": {"model": "openai/m", "timeout": timeout, **more}}


def config(*entries, **settings):
    return {"model_list": list(entries), "router_settings": settings}


ONCE = {"num_retries": 0}
ORDERS = [entry("a", 300, order=1), entry("a", 200, order=2), entry("b", 100, order=1), entry("b", 150, order=2)]
# (configuration, seconds)
DRAINS = {
    "twice the slowest": (config(entry("a", 30), entry("b", 100), **ONCE), 210),
    "the router's is slower": (config(entry("a", 30), timeout=300, **ONCE), 610),
    "a stream's is slower": (config(entry("a", 30, stream_timeout=200), **ONCE), 410),
    "all requests' is slower": ({**config(entry("a", 30), **ONCE), "litellm_settings": {"request_timeout": 50}}, 110),
    "three orders": (config(*(entry("a", 100, order=order) for order in (1, 2, 3)), **ONCE), 310),
    "orders and fallbacks": (config(*ORDERS, fallbacks=[{"a": ["b"]}], **ONCE), 760),
    "no further than max_fallbacks": (config(*ORDERS, fallbacks=[{"a": ["b"]}], max_fallbacks=1, **ONCE), 610),
    "retries and the pauses between them": (config(entry("a", 100), num_retries=2), 312),
    "many fallbacks": (config(*(entry(name, 500) for name in "abcde"), fallbacks=[{"a": [*"bcde"]}], **ONCE), 1800),
    "no more than half an hour": (config(entry("a", 1200)), 1800),
    "but longer than the slowest": (config(entry("a", 7200)), 7210),
    "no number": (config(entry("a", "long")), 1210),
    "nothing is said": (config(entry("a", None)), 1210),
    "nothing": ({}, 1210),
}


@pytest.mark.parametrize(("given", "expected"), DRAINS.values(), ids=DRAINS)
def test_the_drain_is_longer_than_the_slowest(given, expected):
    assert drain_s(given, parse_release("1.106.2")) == expected
