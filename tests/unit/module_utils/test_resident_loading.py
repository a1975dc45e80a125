"""Gently first, then in order, then no more: whatever an engine does, it ends and says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.module_utils.resident_loading import Outcome, reach
from plugins.module_utils.resident_set import Expected
from tests.unit.residencies import SOON, ThoughtEngine, loaded, wanted


def brought(engine: ThoughtEngine, expected: list[Expected], left_alone: frozenset[str] = frozenset()) -> Outcome:
    return reach(engine, expected, engine.look(), left_alone)


def with_models(*names: str, **changes: Any) -> dict[str, dict[str, Any]]:
    return {name: loaded(name, **changes) for name in names}


def test_what_is_missing_is_loaded_in_order() -> None:
    engine = ThoughtEngine(models=with_models("b"))
    outcome = brought(engine, wanted("c", "b", "a"))
    assert (engine.asked, outcome.loaded, outcome.findings) == (["load c", "load a"], ["c", "a"], [])


def test_a_resident_set_is_not_touched() -> None:
    engine = ThoughtEngine(models=with_models("a", "b", "f"))
    assert (brought(engine, wanted("a", "b")).steps, engine.asked) == ([], [])


def test_embedding_models_are_asked_otherwise() -> None:
    engine = ThoughtEngine()
    brought(engine, wanted("a", mode="embedding"))
    assert engine.asked == ["embed a"]


@pytest.mark.parametrize("changes", [{"context_tokens": 1}, {"expires_at": SOON}])
def test_a_request_puts_right_what_a_client_changed(changes: dict[str, Any]) -> None:
    engine = ThoughtEngine(models=with_models("a", **changes))
    outcome = brought(engine, wanted("a"))
    assert (engine.asked, outcome.findings) == (["load a"], [])


def test_a_planned_model_that_was_pushed_out_is_loaded_again() -> None:
    # b is foreign; the engine gives up the first of the alphabet.
    engine = ThoughtEngine(slots=3, models=with_models("a", "b", "c"))
    outcome = brought(engine, wanted("d", "c", "a"))
    assert (engine.asked, outcome.findings) == (["load d", "load a"], [])
    assert ("displaced", "a", "was pushed out by loading d") in outcome.steps


def test_all_from_the_first_wrong_one_on_are_loaded_in_order_then_all_of_them() -> None:
    engine = ThoughtEngine(slots=3, models=with_models("a", "c", "f"))
    outcome = brought(engine, wanted("d", "a", "c"))
    first, again = ["load d"], ["unload c", "load a", "load c"]
    # a was loaded and is not shown: it may be there under another name.
    whole = ["unload c", "unload a", "unload d", "load d", "load a", "load c"]
    assert engine.asked == [*first, *again, *whole]
    assert [finding.model for finding in outcome.findings] == ["a"]


def test_a_split_model_is_loaded_again_in_order() -> None:
    engine = ThoughtEngine(split_after=2, models={**with_models("a"), **with_models("b", size_vram_bytes=50)})
    outcome = brought(engine, wanted("a", "b", full_offload=True))
    assert engine.asked == ["unload b", "load b"]
    assert outcome.findings == []


def test_it_ends_and_says_what_it_tried_where_the_set_does_not_fit() -> None:
    engine = ThoughtEngine(slots=2)
    outcome = brought(engine, wanted("a", "b", "c"))
    assert [finding.model for finding in outcome.findings] == ["a"]
    assert "although it was loaded, also in the order of the plan" in outcome.findings[0].text
    assert len([step for step in engine.asked if step == "load a"]) == 2


def test_a_model_that_cannot_be_loaded_takes_nobody_down() -> None:
    engine = ThoughtEngine(broken=("b",), models=with_models("a", "c"))
    outcome = brought(engine, wanted("a", "b", "c"))
    assert engine.asked == ["load b"]
    assert [str(finding) for finding in outcome.findings] == ["b is not loaded; loading it failed: status 500: it is broken"]


def test_who_is_to_be_left_alone_is() -> None:
    engine = ThoughtEngine(models=with_models("c"))
    outcome = brought(engine, wanted("a", "b", "c"), frozenset({"a"}))
    assert (engine.asked, [str(finding) for finding in outcome.findings]) == (["load b"], ["a is not loaded"])


def test_a_dead_engine_is_left_alone() -> None:
    outcome = brought(ThoughtEngine(dead=True), wanted("a"))
    assert (outcome.steps, outcome.findings, outcome.receipt["error"]["kind"]) == ([], [], "connect")


def test_an_engine_that_dies_meanwhile_is_told() -> None:
    engine = ThoughtEngine()
    before = engine.look()
    engine.dead = True
    outcome = reach(engine, wanted("a", "b"), before)
    assert (set(outcome.failures), outcome.findings, outcome.receipt["error"]["kind"]) == ({"a", "b"}, [], "connect")


NAMES = st.lists(st.sampled_from("abcdef"), unique=True, max_size=6)


@given(planned=NAMES, there=NAMES, broken=NAMES, slots=st.integers(1, 6), split=st.none() | st.integers(0, 5), full=st.booleans())
def test_whatever_it_does_it_ends_and_tells_the_truth(
    planned: list[str], there: list[str], broken: list[str], slots: int, split: int | None, full: bool
) -> None:
    engine = ThoughtEngine(slots, tuple(broken), split, models=with_models(*there[:slots]))
    expected = wanted(*planned, full_offload=full)
    outcome = brought(engine, expected)
    assert len(engine.asked) <= 8 * max(len(planned), 1)
    assert not {step.removeprefix("unload ") for step in engine.asked if step.startswith("unload")} - set(planned)
    missing = {name for name in planned if name not in engine.models}
    assert {finding.model for finding in outcome.findings if finding.kind == "missing"} == missing
    assert set(outcome.failures) <= set(broken)
    if len({*planned, *there[:slots]}) <= slots and not set(broken) & set(planned) and (split is None or not full):
        assert outcome.findings == []
