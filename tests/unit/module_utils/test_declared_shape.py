"""Shapes that a person writes down, held against those of a header."""

from __future__ import annotations

import pytest

from plugins.module_utils.declared_shape import difference_of_shapes, metadata_of, shape_of
from plugins.module_utils.gguf import LongArray
from plugins.module_utils.model_shape import MemoryShapeError, describe

SHAPE = {"architecture": "llama", "block_count": 32, "embedding_length": 4096, "head_count": 32, "head_count_kv": 8}


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({}, "general.architecture"),
        ({"general.architecture": "llama"}, "block_count, embedding_length, head_count"),
        ({"general.architecture": "llama", "llama.block_count": "two"}, "block_count 'two', expected numbers"),
        ({"general.architecture": "llama", "llama.attention.head_count_kv": LongArray(9999, "u32")}, "head_count_kv LongArray"),
    ],
)
def test_a_header_without_the_shape_is_refused(metadata, words):
    with pytest.raises(MemoryShapeError, match=words):
        shape_of(metadata)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, None),
        ({"llama.vocab_size": 32000}, 32000),
        ({"tokenizer.ggml.tokens": ["a", "b"]}, 2),
        ({"tokenizer.ggml.tokens": LongArray(128256, "string")}, 128256),
    ],
)
def test_the_vocabulary_is_counted_where_the_header_has_one(more, expected):
    assert shape_of({**metadata_of(SHAPE), **more})["vocabulary_size"] == expected


def test_a_declared_shape_is_the_metadata_of_a_header():
    written = {**SHAPE, "head_count_kv": [8, 4], "block_count": 2, "key_length": 64, "vocabulary_size": 99, "value_length": None}
    metadata = metadata_of(written)
    found = shape_of(metadata)
    assert {key: found[key] for key in written} == written
    assert [layer.head_count_kv for layer in describe(metadata).layers] == [8, 4]


@pytest.mark.parametrize(
    ("declared", "found", "expected"),
    [
        ({}, SHAPE, {}),
        (SHAPE, SHAPE, {}),
        ({"key_length": None}, {"key_length": 64}, {}),
        ({"block_count": 30}, SHAPE, {"block_count": {"declared": 30, "found": 32}}),
        ({"rope": 1}, SHAPE, {"rope": {"declared": 1, "found": None}}),
    ],
)
def test_declared_and_found_shapes_are_compared(declared, found, expected):
    assert difference_of_shapes(declared, found) == expected
