"""What a dead host costs: the conventional layout that ours is compared with, the arithmetic and the table."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from perf.failover_figures import HEAD, Request, conventional, faults, figures, lines, percentile, spread, table
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
    assert not [entry for entry in made["model_list"] if {"order", "cooldown_time"} & set(entry["litellm_params"])]
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


def test_the_last_requests_are_compared_with_those_between_them() -> None:
    broken = [request(0.2, sent_s=1.0), *[request(0.8, sent_s=60.0)] * 100]
    found = figures(WELL, [request(0.2, sent_s=0.5), request(0.2, sent_s=2.0), request(0.7, sent_s=61.0)], broken, "a")
    assert found["added_s"]["median"] == pytest.approx(0.6)
    assert found["settled_added_s"]["median"] == pytest.approx(0.1)


def test_the_table_has_a_cell_for_each_heading() -> None:
    results = [{"scenario": "refused", "layout": "ours", "figures": figures(WELL, BESIDE, [request(0.25, True)], "a")}]
    head, row = table(results)
    assert head == list(HEAD)
    assert dict(zip(head[:5], row[:5], strict=True)) == {
        "first host": "refused", "layout": "ours", "requests": "1", "failed": "0", "healthy: median": "0.200",
    }  # fmt: skip
    assert (len(row), row[6], row[-5:-1]) == (len(head), "0.050", ["1", "0.050", "0.050", "never"])
    assert lines([["a", "b"], ["1", "2"]], markdown=True) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


# what is tested -> the healthy requests, those of the alias with the dead host, what is found wrong
WRONG = {
    "nothing": (WELL, [request(1.2, True), *[request(0.25)] * 200], []),
    "a request failed": (WELL, [*[request(0.25)] * 2, request(0.2, True, 500, "")], ["1 of 3 requests failed"]),
    "a healthy one failed": ([*WELL, request(0.1, status=500)], [request(0.25)], ["1 requests failed that no"]),
    "all are slow": (WELL, [request(0.31)] * 200, ["the median of all", "the median of the settled"]),
    "it begins well": (WELL, [*[request(0.2)] * 101, *[request(0.31)] * 100], ["the median of the settled"]),
    "it ends well": (WELL, [*[request(0.31)] * 101, *[request(0.2)] * 100], ["the median of all"]),
}


@pytest.mark.parametrize(("before", "broken", "wrong"), WRONG.values(), ids=WRONG)
def test_what_must_not_be(before: list[Request], broken: list[Request], wrong: list[str]) -> None:
    found = {"scenario": "refused", "layout": "ours", "figures": figures(before, BESIDE, broken, "a")}
    said = faults(found, "ours")
    assert len(said) == len(wrong)
    assert all(one.startswith(f"refused: {start}") for one, start in zip(said, wrong, strict=True))
    # Few requests say nothing about times; a host that hangs costs what it costs; and the other layout is no promise of ours.
    without_times = len([start for start in wrong if not start.startswith("the median")])
    assert len(faults(found, "ours", judge_times=False)) == len(faults({**found, "scenario": "hanging"}, "ours")) == without_times
    assert faults(found, "conventional") == []
