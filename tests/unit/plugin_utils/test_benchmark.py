"""Selectors and cases: what is measured, in which order, and what a wrong selector is told."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.plugin_utils.benchmark import (
    SelectionError,
    by_machine,
    case_table,
    cases,
    names,
    nonce,
    not_measured,
    seconds,
    selection,
    sha256,
    shown,
    table,
)
from tests.unit.any_text import any_text
from tests.unit.benchmarks import chosen, plan

ALL = [
    "coding--alpha--m",
    "research--alpha--m--p1",
    "research--alpha--m--p2",
    "coding--beta--m",
    "embedding--beta--e",
]
SELECTIONS = [
    ({}, ALL),
    ({"host": "alpha"}, ALL[:3]),
    ({"host": "beta,alpha"}, ALL),
    ({"host": ["beta"]}, ALL[3:]),
    ({"workload": "coding, embedding"}, [ALL[0], ALL[3], ALL[4]]),
    ({"workload": "coding", "host": "beta"}, [ALL[3]]),
    ({"limit": ["beta", "gamma", "localhost"]}, ALL[3:]),
    ({"limit": ["alpha", "beta"], "host": "alpha"}, ALL[:3]),
    ({"host": "", "workload": None}, ALL),
    ({"host": [], "workload": []}, ALL),
]


@pytest.mark.parametrize(("selectors", "expected"), SELECTIONS)
def test_a_selection_finds_its_cases(selectors: dict, expected: list[str]) -> None:
    assert [case.id for case in chosen(**selectors)] == expected


WRONG = [
    ({"host": "gamma"}, ["host", "gamma", "alpha, beta"]),
    ({"host": "alpha,gamma,delta"}, ["gamma, delta", "alpha, beta"]),
    ({"workload": "codng"}, ["workload", "codng", "coding, research, embedding, silent"]),
    ({"host": "alpha", "limit": ["beta"]}, ["alpha", "--limit", "beta"]),
    ({"limit": ["gamma"]}, ["--limit", "alpha, beta"]),
    ({"limit": []}, ["--limit"]),
    ({"host": "alpha", "workload": "embedding"}, ["no test case", "embedding on beta"]),
    ({"workload": "silent"}, ["no test case"]),
    ({"runs": 0}, ["runs", "got 0", "1 to 1000"]),
    ({"runs": "-3"}, ["runs", "-3"]),
    ({"runs": "three"}, ["runs", "'three'"]),
    ({"runs": 1.5}, ["runs", "1.5"]),
    ({"runs": True}, ["runs", "True"]),
    ({"runs": [1]}, ["runs", "[1]"]),
    ({"runs": 1001}, ["runs", "1001"]),
    ({"host": 7}, ["host", "7"]),
    ({"host": {"a": 1}}, ["host"]),
    ({"host": ","}, ["host", "names nothing"]),
    ({"workload": [["coding"]]}, ["workload"]),
]


@pytest.mark.parametrize(("selectors", "words"), WRONG)
def test_a_wrong_selector_names_what_is_valid(selectors: dict, words: list[str]) -> None:
    with pytest.raises(SelectionError) as caught:
        chosen(**selectors)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(("runs", "expected"), [(None, 3), ("", 3), (1, 1), ("5", 5), (" 7 ", 7)])
def test_runs_come_from_the_selector_or_the_plan(runs: object, expected: int) -> None:
    assert selection(plan(), runs, None, None, None).runs == expected


def test_a_case_carries_what_is_sent() -> None:
    case = chosen(workload="coding", host="alpha")[0]
    assert (case.max_tokens, case.temperature, case.timeout_s, case.context_tokens) == (16, 0.0, 5.0, 4096)
    assert case.prompt_sha256 == hashlib.sha256(b"Write code.").hexdigest()
    assert case.objective == {"metric": "e2e_s", "percentile": 50, "limit": 10.0}
    embedding = chosen(workload="embedding")[0]
    assert (embedding.mode, embedding.max_tokens, embedding.temperature) == ("embedding", None, None)


def test_max_tokens_can_be_overridden() -> None:
    document = plan()
    found = cases(document, selection(document, 1, None, None, None), max_tokens=3)
    assert {case.max_tokens for case in found} == {3, None}


def test_cases_are_grouped_by_machine_in_their_order() -> None:
    groups = by_machine(chosen())
    assert {name: [case.id for case in group] for name, group in groups.items()} == {"alpha": ALL[:3], "beta": ALL[3:]}
    shared = by_machine(chosen(plan(alpha="mini", beta="mini")))
    assert {name: [case.id for case in group] for name, group in shared.items()} == {"mini": ALL}


def test_what_is_left_out_is_said() -> None:
    left = not_measured(plan(), chosen(host="beta"))
    assert "silent: its workload has no prompts" in left
    assert "coding on alpha (m): not selected in this run" in left
    assert not [sentence for sentence in left if "beta" in sentence]


def test_article_prompt_hash() -> None:
    text = "In 2-3 sentences, explain what a transformer neural network is."
    assert sha256(text) == "d79a87bc3d0799e7d3d1c66101a10e9c958649a63af34821f9ab87f8aaf1909e"


@given(st.integers(0, 2**63), any_text(), st.integers(-2, 1000))
def test_a_nonce_is_eight_hex_digits_and_repeatable(seed: int, case: str, number: int) -> None:
    word = nonce(seed, case, number)
    assert len(word) == 8
    assert int(word, 16) >= 0
    assert word == nonce(seed, case, number)


def test_nonces_differ_between_runs_cases_and_seeds() -> None:
    words = {nonce(seed, case, number) for seed in range(5) for case in ALL for number in range(-2, 10)}
    assert len(words) == 5 * len(ALL) * 12


@given(st.one_of(st.none(), any_text(), st.lists(any_text())))
def test_names_are_clean_and_unique(value: object) -> None:
    if isinstance(value, str) and value and not value.replace(",", " ").strip():
        with pytest.raises(SelectionError, match="names nothing"):
            names(value, "host")
        return
    found = names(value, "host")
    assert all(name == name.strip() and name for name in found)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "-"), (0, "0 ms"), (0.0123, "12 ms"), (0.999, "999 ms"), (1.234, "1.23 s"), (12.34, "12.3 s"), (123.4, "123 s")],
)
def test_durations_have_a_unit(value: float | None, expected: str) -> None:
    assert seconds(value) == expected


def test_tables_align_and_unknown_is_a_dash() -> None:
    assert table(["a", "number"], [["x", "1"], ["long", shown(None)]], frozenset({1})) == [
        "a     number",
        "----  ------",
        "x          1",
        "long       -",
    ]
    assert all(identity in "\n".join(case_table(chosen(), 3)) for identity in ALL)
