"""Mends: the finding is gone, all else in the data is as it was, comments and style stay, and a second run has nothing to do."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plugins.plugin_utils.audit.check import audit
from plugins.plugin_utils.audit.finding import Edit, Finding
from plugins.plugin_utils.audit.mend import mend_diff, mended
from plugins.plugin_utils.yaml_document import YamlError
from tests import yaml_text

from .router_configs import PINNED, changed, text
from .test_rules import CASES

FOLDER = Path(__file__).parents[3] / "fixtures" / "router"
PROSE = b"""\
# The lab's router.
model_list:
  - model_name: fast      # who answers at once
    litellm_params:
      model: "ollama_chat/gemma3:4b"   # small
      api_base: 'http://banana:11434/v1'
      timeout: 60
      order: "1"          # first
  - {model_name: fast, litellm_params: {model: ollama_chat/gemma3:4b, api_base: http://star:11434, timeout: 60, order: 2}}

general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}   # from the vault
# the end
"""


def mend(content: bytes, release: str = PINNED) -> tuple[str, list[Finding], list[Finding]]:
    """The text, what was mended, and what is still found."""
    result, done = mended(content, audit(content, release).findings)
    return result, done, list(audit(result.encode(), release).findings)


def with_edits(data: Any, findings: list[Finding]) -> Any:
    """What the edits of these findings make of the data, done in the order of the mends."""
    data = copy.deepcopy(data)
    for edit in (edit for finding in findings for edit in finding.edits):
        place = data
        for part in edit.path[:-1]:
            place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
        if edit.rename:
            place[edit.rename] = place.pop(edit.path[-1])
        elif edit.remove:
            del place[edit.path[-1]]
        else:
            place[edit.path[-1]] = edit.value
    return data


MENDED = [(number, case) for number, case in enumerate(CASES) if case[2]]


@pytest.mark.parametrize(("number", "case"), MENDED, ids=[f"{number}-{case[0]}" for number, case in MENDED])
def test_each_rule(number: int, case: Any) -> None:
    """Every mend of every rule's own case, alone and together."""
    name, changes, fires, _silent = case
    content = text(changed(*changes))
    found = audit(content, fires[0]).findings
    own = [item for item in found if item.rule == name and item.edits]
    result, done = mended(content, own)
    assert len(done) == len(own)
    assert yaml_text.read(result) == with_edits(yaml_text.read(content), done)
    assert {(item.path, item.got) for item in own}.isdisjoint(
        (item.path, item.got) for item in audit(result.encode(), fires[0]).findings if item.rule == name
    )
    again, more = mended(result.encode(), [item for item in audit(result.encode(), fires[0]).findings if item.rule == name])
    assert (again, more) == (result, [])


def test_only_the_wrong_words_change() -> None:
    result, done, left = mend(PROSE)
    assert [item.rule for item in done] == ["ollama-api-base-v1", "order-type"]
    assert result == PROSE.decode().replace("'http://banana:11434/v1'", "http://banana:11434").replace('order: "1"', "order: 1")
    assert [item for item in left if item.severity != "advice"] == []


@pytest.mark.parametrize("release", ["1.82.6", "1.91.5", "1.109.1"])
@pytest.mark.parametrize("name", ["article_first", "article_final"])
def test_the_article_is_mended_in_its_own_words(name: str, release: str) -> None:
    content = (FOLDER / f"{name}.yaml").read_bytes()
    result, done, left = mend(content, release)
    assert {"health-section", "mode-completion"} <= {item.rule for item in done}
    assert {(item.rule, item.path, item.got) for item in done}.isdisjoint((item.rule, item.path, item.got) for item in left)
    before, after = content.decode().splitlines(), result.splitlines()
    assert [line for line in before if line.startswith("#")] == [line for line in after if line.startswith("#")]
    diff = mend_diff(content, result, "config.yaml").splitlines()
    assert len([line for line in diff if line.startswith("-")]) - 1 <= 2 * len(done)


SHARED = b"""\
x-banana: &banana
  model: ollama_chat/gemma3:4b
  api_base: http://banana:11434/v1
  timeout: 60
model_list:
- {model_name: a, litellm_params: *banana}
- {model_name: b, litellm_params: *banana}
- {model_name: c, litellm_params: {<<: *banana, order: 1}}
general_settings: {master_key: os.environ/K}
"""


def test_an_anchor_that_stands_in_several_places_is_left_alone() -> None:
    """The two aliases stay as they are; the entry that merges it gets a key of its own."""
    result, done, left = mend(SHARED)
    own = SHARED.decode().replace("{<<: *banana, order: 1}", "{<<: *banana, order: 1, api_base: http://banana:11434}")
    assert (result, [item.path for item in done]) == (own, ["model_list[2].litellm_params.api_base"])
    assert [item.rule for item in left].count("ollama-api-base-v1") == 2


WAYS = {
    "crlf": (lambda it: it.replace(b"\n", b"\r\n"), lambda it: it.replace("\n", "\r\n")),
    "no-final-newline": (lambda it: it.rstrip(b"\n"), lambda it: it.rstrip("\n")),
    "mark": (lambda it: b"\xef\xbb\xbf" + it, lambda it: it),
}


@pytest.mark.parametrize("way", WAYS)
def test_other_ways_to_write_a_file(way: str) -> None:
    before, after = WAYS[way]
    expected = mend(PROSE)[0]
    result, done, _left = mend(before(PROSE))
    assert (result, len(done)) == (after(expected), 2)


@pytest.mark.parametrize("way", ["plain", "crlf", "no-final-newline"])
def test_a_section_that_is_not_there_yet(way: str) -> None:
    content = PROSE.replace(b"general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}   # from the vault\n", b"")
    content = WAYS[way][0](content) if way in WAYS else content
    result, done, left = mend(content)
    assert "master-key-missing" in {item.rule for item in done}
    assert "master-key-missing" not in {item.rule for item in left}
    assert ("\r\n" in result) == (way == "crlf")
    assert ("\n" in result.replace("\r\n", "")) != (way == "crlf")


def test_the_diff() -> None:
    result, _done, _left = mend(PROSE)
    diff = mend_diff(PROSE, result, "config.yaml").splitlines()
    assert diff[:2] == ["--- a/config.yaml", "+++ b/config.yaml"]
    assert [line[1:].strip() for line in diff if line.startswith("+") and not line.startswith("+++")] == [
        "api_base: http://banana:11434",
        "order: 1          # first",
    ]
    assert mend_diff(PROSE, PROSE.decode(), "config.yaml") == ""


def test_another_encoding_is_refused() -> None:
    with pytest.raises(YamlError, match="UTF-8"):
        mended(PROSE.decode().encode("utf-16"), [])


def test_many_mends_are_made_in_one_reading() -> None:
    """Two in each of two hundred entries: more than could be tried one by one."""
    entry = "- model_name: m{0}\n  order: 1\n  litellm_params: {{model: ollama_chat/x, api_base: 'http://h:9/v1', timeout: 9}}\n"
    content = ("model_list:\n" + "".join(map(entry.format, range(200)))).encode()
    result, done, left = mend(content)
    assert len(done) == len([item for item in audit(content, PINNED).findings if item.edits])
    assert not [item for item in left if item.rule in ("order-misplaced", "ollama-api-base-v1")]
    assert result.count("order: 1}") == 200


def test_mends_that_touch_each_other_are_made_all_the_same() -> None:
    """Two keys for a mapping that has none, and two for a section that is not there."""
    found = [*audit(b"model_list: []\nrouter_settings: {}\n", PINNED).findings][:1]
    edits = [("router_settings", "a"), ("router_settings", "b"), ("litellm_settings", "c"), ("litellm_settings", "d")]
    findings = [replace(found[0], path=".".join(path), edits=(Edit(path, 1),)) for path in edits]
    result, done = mended(b"model_list: []\nrouter_settings: {}\n", findings)
    assert len(done) == len(edits)
    assert yaml_text.read(result) == {"model_list": [], "router_settings": {"a": 1, "b": 1}, "litellm_settings": {"c": 1, "d": 1}}
