"""Numbers and versions that people write."""

from __future__ import annotations

import math

import pytest

from plugins.module_utils.fit_values import gibibytes, shown, version_of, whole


@pytest.mark.parametrize(
    ("value", "expected"), [(None, None), (5, 5), ("5", 5), (" 5 ", 5), (5.0, 5), ("5.0", 5), ("1e3", 1000), ("+5", 5)]
)
def test_whole_numbers(value, expected):
    assert whole({"context_tokens": value}, "context_tokens") == expected


ODD = ["", "x", "5k", "1.5", 1.5, True, math.nan, math.inf, "nan", "inf", [1], {}, 0, -1, 10**30, "9" * 5000, b"5"]


@pytest.mark.parametrize("value", ODD)
def test_what_is_no_whole_number(value):
    with pytest.raises(ValueError, match=r"^got context_tokens .{1,60}, expected a whole number from 1 to 2147483647$"):
        whole({"context_tokens": value}, "context_tokens")


@pytest.mark.parametrize("value", ["", "x", True, math.nan, math.inf, "nan", "-inf", [1], -0.1, 1e30])
def test_what_are_no_gibibytes(value):
    with pytest.raises(ValueError, match=r"^here: got memory_gib .{1,60}, expected GiB from 0 to 1048576$"):
        gibibytes({"memory_gib": value}, "memory_gib", "here: ")


@pytest.mark.parametrize(
    ("engine", "said", "expected"),
    [
        ("ollama", None, None),
        ("ollama", " ", None),
        ("ollama", "0.33.0", "0.33.0"),
        ("ollama", "v0.33.0-rc2", "0.33.0"),
        ("ollama", 0.24, "0.24.0"),
        ("llama_cpp", "b10488", "b10488"),
        ("llama_cpp", 10488, "b10488"),
    ],
)
def test_versions(engine, said, expected):
    assert version_of(engine, said) == expected


@pytest.mark.parametrize(
    ("engine", "said"),
    [("ollama", "24"), ("ollama", "b10488"), ("ollama", "0.1.2.3"), ("llama_cpp", "0.33.0"), ("llama_cpp", "x")],
)
def test_what_is_no_version(engine, said):
    with pytest.raises(ValueError, match="got engine_version"):
        version_of(engine, said)


def test_a_long_value_is_cut():
    assert len(shown("a" * 10_000)) <= 60
