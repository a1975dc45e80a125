"""The GGUF header reader: what a header says, and what a damaged or hostile one is answered."""

from __future__ import annotations

import struct

import pytest

from plugins.module_utils.gguf import GgufError, read_header
from plugins.module_utils.memory import MemoryShapeError, difference_of_shapes, kv_cache_mib, model_parts, shape_of


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key, kind, payload):
    return text(key) + struct.pack("<I", kind) + payload


def header(*pairs, version=3, magic=b"GGUF", count=None):
    return magic + struct.pack("<IQQ", version, 7, len(pairs) if count is None else count) + b"".join(pairs)


PAIRS = (
    pair("general.architecture", 8, text("llama")),
    pair("llama.block_count", 4, struct.pack("<I", 2)),
    pair("llama.embedding_length", 4, struct.pack("<I", 64)),
    pair("llama.attention.head_count", 4, struct.pack("<I", 4)),
    pair("llama.attention.head_count_kv", 9, struct.pack("<IQ", 4, 2) + struct.pack("<II", 2, 1)),
    pair("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 5000) + text("a") * 5000),
    pair("tokenizer.ggml.scores", 9, struct.pack("<IQ", 6, 5000) + bytes(20000)),
    pair("some.flag", 7, b"\x01"),
    pair("some.float", 6, struct.pack("<f", 0.5)),
)


@pytest.fixture
def written(tmp_path):
    def write(data):
        path = tmp_path / "model.gguf"
        path.write_bytes(data)
        return str(path)

    return write


def test_a_header_is_read_and_long_tables_are_not_kept(written):
    data = header(*PAIRS) + bytes(100)
    found = read_header(written(data))
    assert (found["version"], found["tensor_count"], found["file_bytes"]) == (3, 7, len(data))
    assert found["metadata"]["llama.attention.head_count_kv"] == [2, 1]
    assert found["metadata"]["tokenizer.ggml.tokens"] is None
    assert found["metadata"]["some.flag"] is True
    assert found["metadata"]["some.float"] == 0.5


def test_the_shape_decides_the_kv_cache(written):
    shape = shape_of(read_header(written(header(*PAIRS)))["metadata"])
    assert shape["head_count_kv"] == [2, 1]
    # (2 + 1) heads x (16 + 16) x 1,024 tokens x 2 sequences x 2 bytes
    assert kv_cache_mib(shape, 1024, 2, "f16") == 3 * 32 * 1024 * 2 * 2 / 2**20


HOSTILE = [
    (b"", "ends early"),
    (b"GGML" + bytes(60), "expected b'GGUF'"),
    (header(version=99), "version 99"),
    (header(count=2**40), "at most 65536"),
    (header(count=3), "ends early"),
    (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**60), "bytes in one string"),
    (header(pair("x", 9, struct.pack("<IQ", 4, 2**50))), "items in one array"),
    (header(pair("x", 9, struct.pack("<IQ", 9, 1))), "array of type 9"),
    (header(pair("x", 77, b"")), "value type 77"),
    (header(pair("x", 9, struct.pack("<IQ", 4, 4_000_000))), "ends early"),
]


@pytest.mark.parametrize(("data", "words"), HOSTILE, ids=[words for _data, words in HOSTILE])
def test_hostile_headers_are_refused(written, data, words):
    with pytest.raises(GgufError, match=words):
        read_header(written(data))


def test_every_truncation_is_refused_or_read(written):
    data = header(*PAIRS[:5])
    for length in range(len(data)):
        with pytest.raises(GgufError):
            read_header(written(data[:length]))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(GgufError, match=r"gone\.gguf: cannot be read"):
        read_header(str(tmp_path / "gone.gguf"))


@pytest.mark.parametrize(
    ("metadata", "words"),
    [({}, "general.architecture"), ({"general.architecture": "llama"}, "block_count, embedding_length, head_count")],
)
def test_a_header_without_the_shape_is_refused(metadata, words):
    with pytest.raises(MemoryShapeError, match=words):
        shape_of(metadata)


SHAPE = {"architecture": "llama", "block_count": 32, "embedding_length": 4096, "head_count": 32, "head_count_kv": 8}


@pytest.mark.parametrize(
    ("changes", "context_tokens", "parallel", "kv_type", "expected_mib"),
    [
        ({}, 32768, 1, "f16", 4096.0),  # llama 3.1 8B at 32k: 4,096 MiB
        ({}, 32768, 4, "f16", 16384.0),
        ({}, 32768, 1, "q8_0", 2176.0),
        ({"key_length": 256, "value_length": 256}, 1024, 1, "f16", 256.0),
        ({"head_count_kv": None}, 1024, 1, "f16", 512.0),
        ({"architecture": "bert"}, 512, 1, "f16", 0.0),
    ],
)
def test_kv_cache(changes, context_tokens, parallel, kv_type, expected_mib):
    assert kv_cache_mib({**SHAPE, **changes}, context_tokens, parallel, kv_type) == expected_mib


@pytest.mark.parametrize(("kind", "overhead_mib"), [("gpu", 500.0), ("unified", 512.0), ("cpu", 128.0)])
def test_the_parts_add_up(kind, overhead_mib):
    parts = model_parts(2**30, SHAPE, 32768, 1, "f16", kind)
    assert parts["overhead_mib"] == overhead_mib
    assert parts["total_mib"] == 1024 + 4096 + overhead_mib


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
