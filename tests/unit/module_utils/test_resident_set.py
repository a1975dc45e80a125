"""What is loaded is compared with what is to stay, by name and by digest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from plugins.module_utils.resident_set import (
    Expected,
    comparable,
    expected_models,
    findings,
    for_ever,
    foreign,
    replaced,
    to_load,
    to_reorder,
)
from tests.unit.residencies import DIGESTS, SOON, loaded, sight, stored, wanted

A = wanted("a", full_offload=True)[0]
B, C = DIGESTS["b"], DIGESTS["c"]
CASES: list[tuple[str, Expected, dict[str, Any], list[tuple[str, str]]]] = [
    ("as planned", A, sight(loaded("a")), []),
    ("missing", A, sight(loaded("b")), [("missing", "is not loaded")]),
    ("not in the store", A, sight(installed=[]), [("absent", "is not in the engine's store")]),
    ("store not told", A, {**sight(), "installed": None}, [("missing", "is not loaded")]),
    ("a copy's name", A, sight(loaded("z", digest=A.name * 64)), []),
    ("a name in full", replace(A, name="registry.ollama.ai/library/A"), sight(loaded("a")), []),
    (
        "other digest",
        A,
        sight(loaded("a", digest=B), installed=[stored("a")]),
        [("digest", f"with digest {B[:12]}, the store has")],
    ),
    (
        "two digests of one name",
        A,
        sight(loaded("a"), loaded("a", digest=B), installed=[stored("a")]),
        [("twice", f"also with the older digest {B[:12]}")],
    ),
    ("the pinned one", replace(A, digest=A.name * 64), sight(loaded("a")), []),
    ("another than pinned", replace(A, digest=C), sight(loaded("a")), [("pin", f"on disk, pinned is {C[:12]}")]),
    (
        "pinned, store not told",
        replace(A, digest=C),
        {**sight(loaded("a")), "installed": None},
        [("digest", f"the store has {C[:12]}")],
    ),
    (
        "other context",
        A,
        sight(loaded("a", context_tokens=8192)),
        [("context", "has a context of 8192 tokens, planned are 4096")],
    ),
    ("no context planned", replace(A, context_tokens=None), sight(loaded("a", context_tokens=8192)), []),
    (
        "trained with less",
        A,
        sight(loaded("a", context_tokens=512), installed=[stored("a", trained_context_tokens=512)]),
        [],
    ),
    (
        "trained with less, has even less",
        A,
        sight(loaded("a", context_tokens=256), installed=[stored("a", trained_context_tokens=512)]),
        [("context", "has a context of 256 tokens, planned are 512")],
    ),
    ("context not told", A, sight(loaded("a", context_tokens=None)), [("untold", "a context that the engine does not tell")]),
    ("ends soon", A, sight(loaded("a", expires_at=SOON)), [("keep_alive", "is kept until 2026-11-21T20:46:41 only")]),
    ("end not told", A, sight(loaded("a", expires_at=None)), [("untold", "a keep-alive that the engine does not tell")]),
    ("partly on the host", A, sight(loaded("a", size_vram_bytes=99)), [("split", "has 99 of 100 bytes in GPU memory")]),
    ("share not told", A, sight(loaded("a", size_vram_bytes=None)), [("untold", "a share of GPU memory that")]),
    ("may lie on the host", replace(A, full_offload=False), sight(loaded("a", size_vram_bytes=0)), []),
    (
        "several things",
        A,
        sight(loaded("a", context_tokens=1, expires_at=SOON, size_vram_bytes=0)),
        [("context", "of 1 tokens"), ("keep_alive", "only"), ("split", "has 0 of 100")],
    ),
]


@pytest.mark.parametrize(("model", "receipt", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_findings(model: Expected, receipt: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = findings([model], receipt)
    assert [finding.kind for finding in found] == [kind for kind, _words in expected]
    assert all(words in str(finding) for finding, (_kind, words) in zip(found, expected, strict=True))
    assert all(str(finding).startswith(model.name) for finding in found)


def test_what_nobody_planned_is_no_finding() -> None:
    receipt = sight(loaded("a"), loaded("b"), loaded("z", digest=DIGESTS["a"]))
    assert findings(wanted("a"), receipt) == []
    assert [item["name"] for item in foreign(wanted("a"), receipt)] == ["b:latest"]


@pytest.mark.parametrize(
    ("changes", "by_request", "in_order"),
    [
        (None, True, True),
        ({"context_tokens": 1}, True, True),
        ({"expires_at": SOON}, True, False),
        ({"size_vram_bytes": 1}, False, True),
        ({"expires_at": None}, False, False),
        ({}, False, False),
    ],
)
def test_what_can_be_put_right_how(changes: dict[str, Any] | None, by_request: bool, in_order: bool) -> None:
    receipt = sight() if changes is None else sight(loaded("a", **changes))
    assert bool(to_load([A], receipt)) is by_request
    assert bool(to_reorder([A], receipt)) is in_order
    assert to_load([A], receipt, frozenset({"a"})) == to_reorder([A], receipt, frozenset({"a"})) == []


@pytest.mark.parametrize(
    ("receipt", "expected"),
    [
        (sight(loaded("a")), []),
        (sight(), []),
        (sight(loaded("a", digest=B), installed=[stored("a")]), ["a"]),
        (sight(loaded("a"), loaded("a", digest=B), installed=[stored("a")]), ["a"]),
        (sight(loaded("b", digest=C), installed=[stored("a")]), []),
        ({**sight(loaded("a", digest=B)), "installed": None}, []),
    ],
)
def test_what_was_replaced_while_it_was_loaded_is_told(receipt: dict[str, Any], expected: list[str]) -> None:
    assert replaced([A], receipt) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Gemma4", "gemma4:latest"),
        ("library/gemma4:26b", "gemma4:26b"),
        ("registry.ollama.ai/library/gemma4", "gemma4:latest"),
        ("registry.ollama.ai/me/gemma4", "me/gemma4:latest"),
        ("homelab/gemma4:26b-ctx32768", "homelab/gemma4:26b-ctx32768"),
        ("reg:5000/library/a", "reg:5000/library/a:latest"),
    ],
)
def test_names_are_compared_without_what_ollama_fills_in(name: str, expected: str) -> None:
    assert comparable(name) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2319-03-03T20:21:20Z", True), (SOON, False), ("0001-01-01T00:00:00Z", False), ("x", None), (None, None)],
)
def test_for_ever_is_a_date_that_nobody_sees(text: str | None, expected: bool | None) -> None:
    assert for_ever(text) is expected


def test_a_set_comes_in_its_order() -> None:
    given = [{"name": "b", "load_order": 2}, {"name": "a", "load_order": 1, "digest": "sha256:" + "A" * 64, "mode": "embedding"}]
    first, second = expected_models(given)
    assert (first.name, first.mode, first.digest, second.name, second.context_tokens) == ("a", "embedding", "a" * 64, "b", None)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "got NoneType, expected a list"),
        ([5], "models[0]: got 5, expected a mapping with a name"),
        ([{"name": ""}], "expected a mapping with a name"),
        ([{"name": "a"}, {"name": "b", "mode": "image"}], "models[1].mode: got 'image', expected chat or embedding"),
        ([{"name": "a", "context_tokens": "4096"}], "models[0].context_tokens: got '4096', expected int"),
        ([{"name": "a", "load_order": True}], "models[0].load_order: got True, expected int"),
        ([{"name": "a", "full_offload": "no"}], "full_offload: got 'no', expected bool"),
        ([{"name": "a", "digest": "abc"}], "models[0].digest: got 'abc', expected 64 hexadecimal digits"),
        ([{"name": "a"}, {"name": "A:latest"}], "a:latest more than once"),
    ],
)
def test_a_set_that_is_none_is_refused(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match="models") as refused:
        expected_models(given)
    assert words in str(refused.value)
