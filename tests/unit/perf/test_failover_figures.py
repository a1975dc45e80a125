"""What a dead host costs: the conventional layout that ours is compared with, the arithmetic and the table."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from perf.failover_figures import HEAD, Request, conventional, figures, lines, percentile, spread, table
from tests.proxy.router import Backend, config_of


@pytest.fixture
def config() -> dict[str, Any]:
    a, b, c = (Backend(host, f"http://{host}:1", "m") for host in "abc")
    return config_of({"chat": [a, b, c], "beside": [b]}, timeout_s=5.0)


def test_the_conventional_layout_has_a_group_for_each_deployment(config: dict[str, Any]) -> None:
    given = copy.deepcopy(config)
    # Whatever order they stand in.
    config["model_list"].reverse()
    made = conventional(config)
    groups = {entry["model_name"]: entry["litellm_params"]["api_base"] for entry in made["model_list"]}
    assert groups == {
        "chat": "http://a:1/v1", "chat-2": "http://b:1/v1", "chat-3": "http://c:1/v1", "beside": "http://b:1/v1",
    }  # fmt: skip
    assert made["router_settings"] == {"fallbacks": [{"chat": ["chat-2", "chat-3"]}], "timeout": 5.0}
    assert not [entry for entry in made["model_list"] if "order" in entry["litellm_params"]]
    # What ours was made of is left alone.
    config["model_list"].reverse()
    assert config == given


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.95, None), ([3.0], 0.95, 3.0), (range(1, 101), 0.95, 95), (range(1, 101), 1.0, 100), ([4, 1, 3, 2], 0.5, 2)],
    ids=["none", "one", "hundred", "all", "unsorted"],
)
def test_percentiles(values: list[float], share: float, expected: float | None) -> None:
    assert percentile(values, share) == expected


def test_the_spread_of_nothing_is_not_known() -> None:
    assert spread([]) == {"median": None, "p95": None, "max": None}


def request(
    seconds: float, tried_another: bool = False, status: int = 200, deployment: str = "b", sent_s: float = 0.0
) -> Request:
    return Request(sent_s, seconds, status, deployment, tried_another)


WELL = [request(0.1, deployment="a"), request(0.3, deployment="a")]
BESIDE = [request(0.1), request(0.2), request(0.9)]
CASES = {
    "one pays": ([request(1.2, True), request(0.2), request(0.3)], {"paid": 1, "straight_after": 1, "failed": 0}),
    "all pay": ([request(1.2, True), request(1.4, True)], {"paid": 2, "straight_after": None, "settled_paid": 2}),
    "again after a while": (
        [request(1.2, True), request(0.2), request(1.2, True), request(0.2)],
        {"paid": 2, "straight_after": 1, "requests": 4},
    ),
    "a failed one went nowhere": ([request(0.2, True, 500, "")], {"failed": 1, "paid": 1, "straight_after": None}),
    "only the last hundred are settled": (
        [request(5.2, True), *[request(0.2)] * 100],
        {"paid": 1, "settled_requests": 100, "settled_paid": 0},
    ),
    "it was not dead at all": ([request(0.2, deployment="a")], {"broken_by_primary": 1, "paid": 0}),
}


@pytest.mark.parametrize(("broken", "expected"), CASES.values(), ids=CASES)
def test_who_paid(broken: list[Request], expected: dict[str, Any]) -> None:
    found = figures(WELL, BESIDE, broken, "a")
    assert {key: found[key] for key in expected} == expected
    assert found["before_by_primary"] == 2


def test_added_seconds_are_those_above_requests_beside() -> None:
    broken = [request(5.2, True, sent_s=10.0), request(0.2, sent_s=15.5), request(0.3, sent_s=16.0)]
    found = figures(WELL, BESIDE, broken, "a")
    assert found["first_added_s"] == pytest.approx(5.0)
    assert {key: pytest.approx(value) for key, value in found["added_s"].items()} == {"median": 0.1, "p95": 5.0, "max": 5.0}
    assert {key: pytest.approx(value) for key, value in found["paid_added_s"].items()} == {"median": 5.0, "p95": 5.0, "max": 5.0}
    assert found["lasted_s"] == pytest.approx(6.3)
    assert found["healthy_failed"] == 0


def test_the_table_has_a_cell_for_each_heading() -> None:
    results = [{"scenario": "refused", "layout": "ours", "figures": figures(WELL, BESIDE, [request(0.25, True)], "a")}]
    head, row = table(results)
    assert head == list(HEAD)
    assert dict(zip(head[:5], row[:5], strict=True)) == {
        "first host": "refused", "layout": "ours", "requests": "1", "failed": "0", "healthy: median": "0.200",
    }  # fmt: skip
    assert (len(row), row[6], row[-2]) == (len(head), "0.050", "never")
    assert lines([["a", "b"], ["1", "2"]], markdown=True) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
