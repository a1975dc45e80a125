"""Findings of verify and drill: each names host or alias and what was lost."""

from __future__ import annotations

import pytest

from plugins.plugin_utils.intent import parse_fleet
from plugins.plugin_utils.plan import make_plan
from plugins.plugin_utils.verification import alias_findings, answer_table, drill_findings, drill_target, engine_findings
from tests.unit.fleets import intent
from tests.unit.residencies import SOON, loaded, sight, stored

PLAN = make_plan(parse_fleet(intent()), "test")
FINE = {
    "error": None,
    "resident": True,
    "models": [{"name": "small", "context_tokens": 4096}],
    "available": ["small"],
    "instance": "a",
    "counters": {},
}
ERROR = {"kind": "connect", "message": "no connection", "status": None}


def answer(alias, answered_by, error=None):
    return {"alias": alias, "answered_by": answered_by, "error": error, "seconds": 0.1, "excerpt": "yes", "dimension": None}


GOOD = [
    answer("coding", "gpus--big--coding"),
    answer("tools_fast", "mini--small--tools_fast"),
    answer("embedding", "gpus--vectors--embedding"),
]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (FINE, FINE, None),
        (FINE, {**FINE, "error": ERROR}, "does not answer: no connection"),
        (FINE, {**FINE, "instance": "b"}, "was lost and started again"),
        (FINE, {**FINE, "resident": False, "models": [{"name": "x", "context_tokens": 4096}]}, "not what answers there: got x"),
        (FINE, {**FINE, "models": [{"name": "small", "context_tokens": 512}]}, "context of 512 tokens, planned are 4096"),
        (None, None, "was not asked"),
    ],
)
def test_findings_of_a_llama_cpp_host(before, after, words):
    found = engine_findings(PLAN, "mini", {"small": before} if before else {}, {"small": after} if after else {})
    if words is None:
        assert found == []
        return
    assert len(found) == 1
    assert found[0].startswith("mini: small at http://mini.lan:8100")
    assert words in found[0]


THEIRS = make_plan(parse_fleet(intent({"hosts.gpus.managed": False})), "test")


def test_a_model_that_a_foreign_ollama_lacks_is_named_with_the_command():
    receipt = {**FINE, "models": [], "resident": False, "available": ["other:latest"]}
    found = engine_findings(THEIRS, "gpus", {}, {"big": receipt, "vectors": {**receipt, "available": ["vectors:latest"]}})
    assert len(found) == 1
    assert "ollama pull big:30b" in found[0]


def managed(**changes):
    """Receipts of the managed Ollama with all that is planned, changed for `big`."""
    items = {item["model"]: item for item in PLAN["hosts"]["gpus"]["resident"]}
    models = {
        name: loaded(item["engine_model"], **{"context_tokens": item["context_tokens"], **(changes if name == "big" else {})})
        for name, item in items.items()
    }
    installed = [stored(item["name"], digest=item["digest"]) for item in models.values()]
    return {name: sight(*models.values(), installed=installed) for name in items}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"context_tokens": 512}, "has a context of 512 tokens, planned are 8192"),
        ({"expires_at": SOON}, "is kept until 2026-11-21T20:46:41 only"),
        ({"expires_at": None}, "has a keep-alive that the engine does not tell"),
    ],
)
def test_a_managed_ollama_has_to_keep_what_is_planned(changes, words):
    found = engine_findings(PLAN, "gpus", {}, managed(**changes))
    assert len(found) == (words is not None)
    assert words is None or (words in found[0] and found[0].startswith("gpus: big:30b at http://gpus:11434 "))


def test_a_managed_ollama_that_has_lost_a_model_is_found():
    receipt = sight(installed=[stored(item["engine_model"]) for item in PLAN["hosts"]["gpus"]["resident"]])
    found = engine_findings(PLAN, "gpus", {}, {"big": receipt, "vectors": receipt})
    assert [text.endswith("is not loaded") for text in found] == [True, True]


def test_answers_of_the_first_deployments_are_fine():
    assert alias_findings(PLAN, GOOD) == []


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (answer("coding", None, "HTTP 500"), "coding (on gpus, mini): HTTP 500"),
        (answer("coding", "mini--small--coding"), "big on gpus failed a moment ago"),
        (answer("coding", "gpus--bigger--coding"), "the router serves another plan than this one; run deploy.yml"),
        (None, "coding: was not asked"),
    ],
)
def test_findings_of_an_alias(bad, words):
    (found,) = alias_findings(PLAN, [*([bad] if bad else []), *GOOD[1:]])
    assert words in found


def test_a_drill_needs_answers_from_elsewhere():
    survived = [answer("tools_fast", "gpus--big--tools_fast")]
    assert drill_findings(PLAN, "mini", survived) == []
    assert "claims" not in drill_findings(PLAN, "mini", [answer("tools_fast", "mini--small--tools_fast")])[0]
    assert "did not survive" in drill_findings(PLAN, "mini", [answer("tools_fast", None, "HTTP 500")])[0]
    assert drill_findings(PLAN, "mini", []) == ["tools_fast: was not asked"]


def test_the_drill_chooses_a_host_whose_aliases_have_another():
    assert drill_target(PLAN, None) == "gpus"
    assert drill_target(PLAN, "mini") == "mini"
    with pytest.raises(ValueError, match=r"got host=nobody, .*: gpus, mini"):
        drill_target(PLAN, "nobody")


def test_engines_of_others_are_not_stopped():
    plan = {**PLAN, "hosts": {**PLAN["hosts"], "gpus": {**PLAN["hosts"]["gpus"], "managed": False}}}
    assert drill_target(plan, None) == "mini"
    with pytest.raises(ValueError, match="got host=gpus"):
        drill_target(plan, "gpus")


def test_a_drill_that_would_show_nothing_is_refused():
    alone = {"tools_fast": [{"model": "small", "host": "mini"}], "coding": [{"model": "big", "host": "gpus"}]}
    plan = make_plan(parse_fleet(intent({f"llm_assignments.{alias}": hosts for alias, hosts in alone.items()})), "test")
    with pytest.raises(ValueError, match="nothing to show"):
        drill_target(plan, None)


def test_the_table_shows_each_answer_on_one_line():
    text = answer_table([{**GOOD[0], "excerpt": "two\nlines"}, answer("coding", None, "gone")])
    assert len(text.splitlines()) == 3
    assert "two lines" in text
