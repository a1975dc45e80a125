"""Where values of a YAML file stand, what its data does not tell, and what is no configuration."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.plugin_utils.yaml_document import Repeated, YamlError, read_yaml
from tests.unit.any_text import any_text

TEXT = b"""\
first: &shared
  a: 1
  b: [x, {c: 2}]
second:
  <<: *shared
  a: 3
list:
  - *shared
  - *shared
yes: on
"""


def test_lines_are_those_of_keys_and_entries():
    document = read_yaml(TEXT)
    assert document.data == yaml.safe_load(TEXT)
    wanted = {
        (): 1, ("first",): 1, ("first", "a"): 2, ("first", "b", 1, "c"): 3, ("second", "a"): 6, ("second", "b"): 3,
        ("list", 0): 8, ("list", 1, "a"): 2, (True,): 10,
    }  # fmt: skip
    assert {path: document.line(path) for path in wanted} == wanted
    assert document.line(("first", "b", 7, "nothing")) == 3
    assert read_yaml(b"").line(("a",)) is None


def test_one_mapping_in_several_places_is_told():
    """A merge copies a mapping's keys, but what stands in it is the same."""
    nested = (("first", "b", 1), ("second", "b", 1), ("list", 0, "b", 1), ("list", 1, "b", 1))
    assert read_yaml(TEXT).shared == [(("first",), ("list", 0), ("list", 1)), nested]


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        (b"a: 1\nb: 2\na: 3\n", [Repeated(("a",), (1, 3))]),
        (b"a: {b: 1, b: 2}\nc: {<<: {d: 1}, d: 2}\n", [Repeated(("a", "b"), (1, 1))]),
        (b"a: &x {b: 1, b: 2}\nc: {<<: *x}\n", [Repeated(("a", "b"), (1, 1))]),
        (b"yes: 1\non: 2\n", [Repeated((True,), (1, 2))]),
        (b"a: 1\nA: 2\n", []),
    ],
    ids=["top", "merged and own", "told once", "two spellings", "case"],
)
def test_a_key_that_stands_twice_is_told(text, repeated):
    assert read_yaml(text).repeated == repeated


LEVELS = b"".join(b"%c: &%c [%s]\n" % (97 + n, 97 + n, b", ".join([b"*%c" % (96 + n)] * 9) if n else b"1") for n in range(9))
BROKEN = [
    (b"a: [1", "did not find expected ',' or ']'"),
    (b"a: 1\n b: 2\n", "line 2"),
    (b"a: !!python/object:os.system {}\n", "line 1, column 4: could not determine a constructor"),
    (b"a: 1\n---\nb: 2\n", "expected a single document"),
    (b"&a [*a]", "an anchor that contains itself"),
    (b"a: &a {b: *a}", "an anchor that contains itself"),
    (LEVELS, "through anchors perhaps"),
    (b"[" * 5000 + b"]" * 5000, "more than 100 levels"),
    (b"{[]: 1}", "unhashable"),
    (b"\xff\xfe\x00", ""),
    (b"a: \x07", ""),
    (b"a: 2026-99-99", "expected plain YAML"),
    (b"x" * 6_000_000, "expected at most"),
]


@pytest.mark.parametrize(("text", "words"), BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_configuration_is_told(text, words):
    with pytest.raises(YamlError) as caught:
        read_yaml(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


SIGNS = ["a", ":", " ", "\n", "-", "&x", "*x", "<<", "[", "]", "{", "}", ",", "'"]


@settings(max_examples=100, deadline=None)
@given(
    any_text(60)
    | st.lists(st.sampled_from(["a", ":", " ", "\n", "-", "&x", "*x", "<<", "[", "]", "{", "}", ",", "'"])).map("".join)
)
def test_anything_is_read_or_told(text):
    content = text.encode("utf-8", "surrogatepass")
    try:
        document = read_yaml(content)
    except YamlError:
        return
    assert document.data == yaml.safe_load(content) or document.data != document.data
