"""Metrics from raw times, statistics from warm samples only, and unknown that stays unknown."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.plugin_utils.metrics import (
    VERDICTS,
    cached_tokens,
    case_statistics,
    median_of,
    nearest_rank,
    objective_result,
    sample_metrics,
)
from tests.unit.benchmarks import chosen, failed, sample


def test_the_metrics_of_a_sample() -> None:
    row = sample_metrics(sample(seconds=2.0))
    assert row["e2e_s"] == 2.0
    assert (row["ttft_s"], row["ttfa_s"], row["stream_end_s"]) == (0.2, 0.4, 2.2)
    # 11 tokens have ten steps between them, from 0.2 s to 2.0 s.
    assert row["decode_tokens_per_s"] == pytest.approx(10 / 1.8)
    # Without the engine's own timing: 30 uncached tokens up to the first token.
    assert row["prefill_tokens_per_s"] == pytest.approx(150)
    assert (row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]) == (40, 11, 10)
    assert (row["content_characters"], row["reasoning_characters"], row["reasoning_share"]) == (6, 0, 0.0)


def test_the_engines_own_prefill_time_is_preferred() -> None:
    assert sample_metrics(sample(timings={"prompt_n": 30, "prompt_ms": 60.0}))["prefill_tokens_per_s"] == pytest.approx(500)


def test_nothing_known_is_none_and_never_zero() -> None:
    bare = sample(usage=None, content=None, reasoning=None, finish_reason=None)
    bare["times"] = dict.fromkeys(bare["times"])
    known = {name: value for name, value in sample_metrics(bare).items() if value is not None}
    assert known == {}


@pytest.mark.parametrize("completion", [None, 0, 1, True, -5, 2.5, "7"])
def test_no_decode_rate_without_two_tokens(completion: object) -> None:
    assert sample_metrics(sample(usage={"completion_tokens": completion}))["decode_tokens_per_s"] is None


def test_no_decode_rate_when_all_came_at_once() -> None:
    one = sample()
    one["times"]["first_token_ns"] = one["times"]["last_token_ns"]
    assert sample_metrics(one)["decode_tokens_per_s"] is None


def test_a_broken_answer_has_no_response_time() -> None:
    row = sample_metrics(sample(error=failed("truncated"), verdict="failed"))
    assert (row["e2e_s"], row["ttft_s"]) == (None, 0.2)


def test_an_embedding_ends_with_its_reply() -> None:
    case = chosen(workload="embedding")[0]
    usage = {"prompt_tokens": 3, "completion_tokens": 0}
    row = sample_metrics(sample(case, content=None, reasoning=None, dimension=3, usage=usage))
    assert (row["e2e_s"], row["dimension"], row["completion_tokens"]) == (2.2, 3, None)


REASONING = [
    ({"completion_tokens": 10, "completion_tokens_details": {"reasoning_tokens": 4}}, "aa", "bb", 0.4, "tokens"),
    ({"completion_tokens": 10, "completion_tokens_details": {"reasoning_tokens": 40}}, "aa", "bb", 1.0, "tokens"),
    ({"completion_tokens": 10}, "aa", "bbbbbb", 0.75, "characters"),
    (None, "aa", "", 0.0, "characters"),
    (None, "", "", None, None),
    ({"completion_tokens": 0, "completion_tokens_details": {"reasoning_tokens": 0}}, None, None, None, None),
]


@pytest.mark.parametrize(("usage", "content", "reasoning", "share", "basis"), REASONING)
def test_the_share_of_reasoning_says_what_it_counts(usage, content, reasoning, share, basis) -> None:
    row = sample_metrics(sample(usage=usage, content=content, reasoning=reasoning))
    assert (row["reasoning_share"], row["reasoning_basis"]) == (share, basis)


@pytest.mark.parametrize(
    ("usage", "timings", "expected"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 3}}, {"cache_n": 5}, 3),
        ({}, {"cache_n": 5}, 5),
        ({"prompt_tokens_details": None}, None, None),
        ({"prompt_tokens_details": {"cached_tokens": "3"}}, {"cache_n": -1}, None),
        (None, None, None),
    ],
)
def test_cached_tokens(usage, timings, expected) -> None:
    assert cached_tokens(usage, timings) == expected


COVERAGES = [(1, None), (2, 0.5), (3, 0.75), (5, 0.9375), (6, 0.96875)]


@pytest.mark.parametrize(("n", "coverage"), COVERAGES)
def test_the_interval_says_how_often_it_holds(n: int, coverage: float | None) -> None:
    spread = median_of([float(value) for value in range(n)])
    assert (spread["n"], spread["coverage"]) == (n, coverage)
    assert (spread["low"], spread["high"]) == ((0.0, n - 1.0) if n > 1 else (None, None))


def test_no_values_no_median() -> None:
    assert median_of([]) == {"n": 0, "median": None, "low": None, "high": None, "coverage": None}


TIMES = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=30)


@given(TIMES)
def test_the_median_lies_in_its_interval(values: list[float]) -> None:
    spread = median_of(values)
    assert spread["median"] == statistics.median(values)
    assert spread["low"] is None or spread["low"] <= spread["median"] <= spread["high"]


@given(TIMES, st.floats(1, 100))
def test_nearest_rank_by_its_definition(values: list[float], percentile: float) -> None:
    found = nearest_rank(values, percentile)
    assert found in values
    assert sum(value <= found for value in values) >= percentile / 100 * len(values) - 1e-9
    smaller = [value for value in values if value < found]
    assert not smaller or len(smaller) < math.ceil(percentile / 100 * len(values))


@given(st.lists(st.tuples(st.sampled_from(VERDICTS), st.floats(0.1, 100)), max_size=12))
@settings(max_examples=40, deadline=None)
def test_only_warm_samples_enter_statistics(rows: list[tuple[str, float]]) -> None:
    samples = [sample(seconds=time, verdict=verdict) for verdict, time in rows]
    result = case_statistics(samples)
    warm = [row for row in samples if row["verdict"] == "warm"]
    assert (result["attempts"], result["n"], result["dropped"]) == (len(rows), len(warm), len(rows) - len(warm))
    assert sum(result["verdicts"].values()) == len(rows)
    times = [row["times"]["last_token_ns"] / 1e9 for row in warm]
    assert result["metrics"]["e2e_s"]["median"] == (statistics.median(times) if times else None)


def test_a_failure_is_counted_and_never_averaged() -> None:
    bad = sample(seconds=0.001, verdict="failed", error=failed("timeout", "late"))
    result = case_statistics([sample(seconds=2.0), bad])
    assert result["errors"] == {"timeout": 1}
    assert result["metrics"]["e2e_s"]["median"] == 2.0
    assert result["finish_reasons"] == {"stop": 1}


OBJECTIVES = [
    ({"metric": "e2e_s", "percentile": 50, "limit": 3.0}, [2.0, 4.0], 3.0, True),
    ({"metric": "e2e_s", "percentile": 50, "limit": 2.9}, [2.0, 4.0], 3.0, False),
    ({"metric": "e2e_s", "percentile": 90, "limit": 5.0}, [float(time) for time in range(1, 11)], 9.0, False),
    ({"metric": "ttft_s", "percentile": 100, "limit": 0.4}, [2.0, 4.0], 0.4, True),
    ({"metric": "e2e_s", "limit": 1.0}, [], None, None),
    # Of a rate more is better: the slow tenth decides, and it has to be above the limit.
    ({"metric": "decode_tokens_per_s", "percentile": 90, "limit": 5.0}, [1.0, 4.0], pytest.approx(10 / 3.6), False),
    ({"metric": "decode_tokens_per_s", "percentile": 90, "limit": 2.0}, [1.0, 4.0], pytest.approx(10 / 3.6), True),
    ({"metric": "unheard_of", "percentile": 50, "limit": 2.0}, [1.0], None, None),
]


@pytest.mark.parametrize(("objective", "times", "value", "met"), OBJECTIVES)
def test_objectives(objective: dict, times: list[float], value: object, met: bool | None) -> None:
    result = objective_result(objective, [sample(seconds=time) for time in times])
    assert result is not None
    assert (result["value"], result["met"]) == (value, met)


def test_no_objective_is_none() -> None:
    assert objective_result(None, [sample()]) is None
