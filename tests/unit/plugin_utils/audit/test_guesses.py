"""Suggestions are right where they help, and no file makes the audit compare words or wildcards without end."""

from __future__ import annotations

import difflib
import random
from collections import Counter
from typing import Any

import pytest

from plugins.plugin_utils.audit import guesses, names
from plugins.plugin_utils.audit.check import audit
from plugins.plugin_utils.audit.guesses import MOST_GUESSES, MOST_NAMES, Guesses, distance
from plugins.plugin_utils.audit.names import MOST_COMPARISONS
from plugins.plugin_utils.problems import LONGEST_WORD, suggestion

from .router_configs import text

MANY = tuple(f"name-{number}" for number in range(MOST_NAMES + 1))
SAID = [
    ("near", "fats", ("fast", "slow"), "Did you mean fast? Known: fast, slow."),
    ("far", "zzz", ("fast", "slow"), "Known: fast, slow."),
    ("none-known", "fast", (), "Known: none."),
    ("near-of-many", "name-3x", MANY, "Did you mean name-3?"),
    ("far-of-many", "zzz", MANY, f"It is none of the {len(MANY)} that are known."),
    ("too-long", "a" * LONGEST_WORD + "b", ("a" * LONGEST_WORD,), f"Known: {'a' * LONGEST_WORD}."),
    ("long", "a" * (LONGEST_WORD - 1), ("a" * LONGEST_WORD,), f"Did you mean {'a' * LONGEST_WORD}? Known: {'a' * LONGEST_WORD}."),
]


@pytest.mark.parametrize(("word", "known", "expected"), [row[1:] for row in SAID], ids=[row[0] for row in SAID])
def test_what_was_meant(word: str, known: tuple[str, ...], expected: str) -> None:
    assert Guesses().meant(word, known) == expected
    if len(known) <= MOST_NAMES:
        assert suggestion(word, known) == expected


def test_after_many_words_no_more_are_looked_for() -> None:
    asked, known = Guesses(), ("fast",)
    assert [asked.near(f"fast{number}", known) for number in range(2 * MOST_GUESSES)] == ["fast"] * MOST_GUESSES + [
        None
    ] * MOST_GUESSES
    assert asked.near("fast0", known) == "fast"


PAIRS = [
    ("order", "order", 0), ("odrer", "order", 1), ("ordr", "order", 1), ("orderr", "order", 1), ("timeuot", "timeout", 1),
    ("", "ab", 2), ("ab", "", 2), ("abcdef", "badcfe", 3), ("tmieuot", "timeout", 2), ("aba", "ababa", 2),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "letters"), PAIRS, ids=[f"{row[0]}-{row[1]}" for row in PAIRS])
def test_letters_that_are_wrong(one: str, other: str, letters: int) -> None:
    assert distance(one, other, 3) == letters
    assert all((distance(one, other, most) <= most) == (letters <= most) for most in range(4))


def deployment(name: str) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": "openai/x", "api_key": "none", "timeout": 9}}


def letters(hand: random.Random, length: int) -> str:
    return "".join(hand.choice("ab") for _letter in range(length))


def misspelt(length: int, groups: int, chains: int) -> dict[str, Any]:
    hand = random.Random(length)
    known = [letters(hand, length) for _group in range(groups)]
    wrong = [{letters(hand, length): [letters(hand, length)]} for _chain in range(chains)]
    return {"model_list": [deployment(name) for name in known], "router_settings": {"fallbacks": wrong}}


def wildcards(pattern: str, names_: list[str]) -> dict[str, Any]:
    chains = [{name: [name + "b"]} for name in names_]
    return {
        "model_list": [deployment(pattern.format(number)) for number in range(400)],
        "router_settings": {"fallbacks": chains},
    }


BOMBS: dict[str, dict[str, Any]] = {
    "long-names": misspelt(190, 30, 100),
    "short-names": misspelt(60, 30, 100),
    "many-names": misspelt(60, 400, 200),
    "settings": {"general_settings": {f"health_check_interval_{number}": 1 for number in range(500)}},
    "parameters": {
        "model_list": [
            {"model_name": "a", "litellm_params": {"model": "openai/x", **{f"max_parallel_request{n}": 1 for n in range(500)}}}
        ]
    },
    "providers": {
        "model_list": [{"model_name": "a", "litellm_params": {"model": f"olama_cht{number}/x"}} for number in range(300)]
    },
    "wildcards": wildcards("*a" * 20 + "{0}*", [f"{'a' * 60}{number}" for number in range(300)]),
    "wildcards-that-nearly-fit": wildcards("*a" * 20 + "b{0}", [f"{'a' * 60}b{number}c" for number in range(300)]),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("release", ["1.106.2", "9.0.0"])
def test_work_is_bounded(name: str, release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done: Counter[str] = Counter()

    def counted(module: Any, function: str) -> None:
        real = getattr(module, function)

        def call(*words: Any, **more: Any) -> Any:
            done[function] += 1
            return real(*words, **more)

        monkeypatch.setattr(module, function, call)

    counted(difflib, "get_close_matches")
    counted(names, "_fits")
    counted(guesses, "_common")
    findings = audit(text(BOMBS[name]), release).findings
    assert len(findings) >= 2
    assert done["get_close_matches"] <= MOST_GUESSES
    assert done["_fits"] <= MOST_COMPARISONS + 400
    assert done["_common"] <= 20_000


def test_names_that_were_not_held_against_wildcards_are_not_called_unknown() -> None:
    few = wildcards("*a{0}*", ["b1", "b2"])
    assert len([item for item in audit(text(few), "1.106.2").findings if item.rule == "fallback-key-unknown"]) == 2
    cut = wildcards("*" + "aaaaa*" * 20 + "b{0}", [f"{'a' * 30}{number}" for number in range(300)])
    found = [item for item in audit(text(cut), "1.106.2").findings if item.rule == "fallback-key-unknown"]
    assert len(found) < 300
