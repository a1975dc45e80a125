"""The GGUF header reader: what a header says, and what a damaged or hostile one is answered."""

from __future__ import annotations

import io
import os
import struct

import pytest

from plugins.module_utils.gguf import GgufError, LongArray, length_of, parse, read_header
from tests.gguf_files import Raw, Typed, complete, header, tensor_info, text, write_gguf, write_split

METADATA = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": [2, 1],
    "tokenizer.ggml.tokens": ["a"] * 5000,
    "tokenizer.ggml.scores": [0.5] * 5000,
    "some.flag": True,
    "some.flags": [True, False],
    "some.float": 0.5,
    "some.texts": ["one", "zwei"],
    "some.u16": Typed("u16", 65535),
    "some.i8": Typed("i8", -128),
    "some.i64": Typed("i64", -(2**63)),
    "some.u64": Typed("u64", 2**64 - 1),
    "some.f64": Typed("f64", 1e300),
    "some.nothing": Typed("str", []),
}
TENSORS = [("token_embd.weight", (64, 5000), "q4_0"), ("output_norm.weight", (64,), "f32"), ("one", (), "i32")]
TENSORS_BYTES = 64 * 5000 // 32 * 18 + 64 * 4 + 4


@pytest.mark.parametrize("version", [2, 3])
def test_a_header_is_read_and_long_tables_are_not_kept(tmp_path, version):
    path = tmp_path / "model.gguf"
    file_bytes = write_gguf(path, METADATA, TENSORS, version)
    found = read_header(str(path))
    assert (found.name, found.version, found.parts, found.file_bytes) == (str(path), version, 1, file_bytes)
    wanted = {key: value.value if isinstance(value, Typed) else value for key, value in METADATA.items()}
    long = {"tokenizer.ggml.tokens": LongArray(5000, "str"), "tokenizer.ggml.scores": LongArray(5000, "f32")}
    assert found.metadata == {**wanted, **long}
    assert [(tensor.name, tensor.shape) for tensor in found.tensors] == [(name, shape) for name, shape, _kind in TENSORS]
    assert found.tensors_bytes == TENSORS_BYTES
    # The tensor data begins at a multiple of the alignment and the last tensor is padded to one.
    assert found.header_bytes % 32 == 0
    assert file_bytes == found.header_bytes + TENSORS_BYTES + 28


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (LongArray(5000, "str"), 5000),
        ([1, 2], 2),
        ([], 0),
        (LongArray(10**6, "byte"), None),
        ("text", None),
        (7, None),
        (None, None),
    ],
)
def test_the_length_of_an_array_is_known_kept_or_not(value, expected):
    assert length_of(value) == expected


def test_values_need_not_be_utf8_and_long_texts_are_not_kept():
    data = header([("good", Raw(8, text(b"caf\xe9"))), ("long", "x" * 300_000)])
    assert parse(io.BytesIO(data), "x").metadata == {"good": "caf\ufffd", "long": LongArray(300_000, "byte")}


def test_a_tensor_of_a_type_nobody_knows_has_no_size():
    head = header({}, [tensor_info("a", (64,), 0, 0), tensor_info("b", (64,), 99, 256)])
    assert parse(io.BytesIO(head), "x", 10_000).tensors_bytes is None


def test_no_more_is_read_than_the_header_needs():
    head, file_bytes = complete(METADATA, TENSORS)
    stream = io.BytesIO(head + bytes(10**6))
    parse(stream, "x", file_bytes)
    assert stream.tell() <= len(head) + 256 * 2**10


def test_a_stream_may_give_a_byte_at_a_time():
    class Drip(io.BytesIO):
        def read(self, count, /):
            return super().read(1)

    head, file_bytes = complete(METADATA, TENSORS)
    assert parse(Drip(head), "x", file_bytes) == parse(io.BytesIO(head), "x", file_bytes)


def one(value):
    return header([("x", value)])


def shaped(*shape, kind=0, offset=0, name="t"):
    return header({}, [tensor_info(name, shape, kind, offset)])


NESTED = Raw(9, struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 4, 0))
HOSTILE = {
    "nothing": (b"", "ends early: got 0 bytes"),
    "no GGUF": (b"<!DOCTYPE html>" + bytes(60), r"expected b'GGUF'.*no GGUF file"),
    "version 1": (header({}, version=1), "version 1, expected 2 or 3"),
    "version 99": (header({}, version=99), "version 99"),
    "big endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "is big endian"),
    "big endian of Ollama": (b"FUGG" + struct.pack(">IQQ", 3, 0, 0), "is big endian"),
    "keys without end": (header({}, key_count=2**40), "at most 65536"),
    "more keys than bytes": (header({"a": 1}, key_count=1000), "got 1000 keys, expected at most 1, only 17 bytes are left"),
    "tensors without end": (header({}, tensor_count=2**63), "tensors, expected at most 65536"),
    "more tensors than bytes": (header({"a": 1}, tensor_count=5000), "got 5000 tensors, expected at most 1"),
    "missing key": (header({"a": 1, "b": "x" * 50}, key_count=3), "ends early"),
    "gigabyte key": (header([], key_count=1) + struct.pack("<Q", 2**30) + bytes(40), "bytes in the name of a key"),
    "gigabyte text": (one(Raw(8, struct.pack("<Q", 2**30))), "1073741824 bytes in one string, expected at most 16777216"),
    "gigabyte text in a short array": (one(Raw(9, struct.pack("<IQQ", 8, 1, 2**30))), "bytes in one string"),
    "gigabyte text in a long array": (
        one(Raw(9, struct.pack("<IQ", 8, 5000) + struct.pack("<Q", 2**30) + bytes(40_000))),
        "1073741824 bytes in one string",
    ),
    "text longer than the file": (one(Raw(8, struct.pack("<Q", 1000))), "got 1000 bytes in one string, expected at most 0"),
    "items without end": (one(Raw(9, struct.pack("<IQ", 4, 2**50))), "items in one array, expected at most 67108864"),
    "more items than bytes": (
        one(Raw(9, struct.pack("<IQ", 4, 4_000_000))),
        "got 4000000 items in one array, expected at most 0",
    ),
    "millions of empty texts": (one(Raw(9, struct.pack("<IQ", 8, 2**22) + bytes(2**25))), "4194304 strings in long arrays"),
    "nested arrays": (one(NESTED), "'x' is an array of type 9"),
    "unknown type": (one(Raw(77, b"x")), "'x' has value type 77"),
    "array of an unknown type": (one(Raw(9, struct.pack("<IQ", 13, 1))), "array of type 13"),
    "too many short arrays": (header([(f"k{n}", [1] * 4000) for n in range(40)]), "more than 131072 items"),
    "too much text": (header([(f"k{n}", "x" * 250_000) for n in range(20)]), "bytes of text"),
    "key twice": (header([("a", 1), ("a", 2)]), "key 'a' is there twice"),
    "empty key": (header([("", 1)]), "a key is empty"),
    "key that is no UTF-8": (header([(b"\xff\xfe", 1)]), r"got b'\\xff\\xfe' as the name of a key, expected UTF-8"),
    "tensor that is no UTF-8": (shaped(1, name=b"\xff"), "as the name of a tensor"),
    "tensor twice": (header({}, [tensor_info("t", (1,), 0, 0)] * 2), "'t' is there twice"),
    "alignment 0": (header({"general.alignment": 0}), "got 0 as general.alignment"),
    "alignment 48": (header({"general.alignment": 48}), "expected a power of two"),
    "alignment true": (header({"general.alignment": True}), "got True as general.alignment"),
    "alignment of text": (header({"general.alignment": "32"}), "as general.alignment"),
    "five dimensions": (shaped(1, 1, 1, 1, 1), "5 dimensions, expected at most 4"),
    "many dimensions": (shaped(*[1] * 60), "60 dimensions"),
    "negative dimension": (shaped(2**64 - 1), "fewer than 2.63 elements"),
    "negative dimension of nothing": (shaped(2**64 - 32, 0), "fewer than 2.63 elements"),
    "too many elements": (shaped(2**31, 2**31, 4), "fewer than 2.63 elements"),
    "broken row": (shaped(33, kind=2), "expected rows of a multiple of 32 elements for type q4_0"),
    "number of a block type": (shaped(kind=2), "rows of a multiple of 32"),
    "tensor behind the end": (shaped(1, offset=2**40), "ends there"),
    "tensor of unknown type behind the end": (shaped(1, kind=99, offset=2**40), "ends there"),
    "offset without end": (shaped(1, offset=2**64 - 1), "ends there"),
    "cut off": (shaped(1000), r"the file has 57 bytes, 0 of them behind its header, expected at least 4000: tensor 't'"),
}


@pytest.mark.parametrize(("data", "words"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_headers_are_refused(data, words):
    with pytest.raises(GgufError, match=f"^model: .*{words}"):
        parse(io.BytesIO(data), "model", len(data))


def test_a_header_that_never_ends_is_given_up():
    class Endless(io.BytesIO):
        """An array of thousands of texts of a megabyte."""

        sent_bytes = 0

        def read(self, count, /):
            piece = super().read(count)
            if not piece:
                self.seek(self.repeated)
                piece = super().read(count)
            self.sent_bytes += len(piece)
            return piece

    begin = one(Raw(9, struct.pack("<IQ", 8, 2**20)))
    stream = Endless(begin + text(bytes(2**20)))
    stream.repeated = len(begin)
    with pytest.raises(GgufError, match="longer than 67108864 bytes"):
        parse(stream, "x")
    assert stream.sent_bytes <= 2**26


def test_every_truncation_is_refused():
    data = header({key: METADATA[key] for key in list(METADATA)[:5]}, [tensor_info("t", (1,), 0, 0)])
    for length in range(len(data)):
        for file_bytes in (length, None):
            with pytest.raises(GgufError):
                parse(io.BytesIO(data[:length]), "x", file_bytes)


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, words in (
        ("gone.gguf", "gone.gguf: cannot be read: No such file"),
        ("pipe", "pipe: is no regular file"),
        ("", "cannot"),
    ):
        with pytest.raises(GgufError, match=words):
            read_header(str(tmp_path / name))


def test_a_split_model_is_read_as_one(tmp_path):
    paths = write_split(tmp_path, "model", METADATA, [TENSORS[:1], [], TENSORS[1:]])
    found = read_header(str(paths[0]))
    assert (found.parts, found.tensors_bytes) == (3, TENSORS_BYTES)
    assert found.file_bytes == sum(path.stat().st_size for path in paths)
    assert [tensor.name for tensor in found.tensors] == [name for name, _shape, _kind in TENSORS]
    assert found.metadata["llama.block_count"] == 2


def spoil(paths, number, metadata, tensors=()):
    write_gguf(paths[number], metadata, tensors)


SECOND = {"split.no": 1, "split.count": 2, "split.tensors.count": 2}
BAD_PARTS = {
    "missing": (lambda paths: paths[1].unlink(), "model-00002-of-00002.gguf: cannot be read: No such file"),
    "renamed": (
        lambda paths: paths[0].rename(paths[0].with_name("a.gguf")),
        "expected a name that ends with -00001-of-00002.gguf",
    ),
    "second alone": (lambda paths: paths[0].unlink(), "not the first of its 2 parts; name model-00001-of-00002.gguf"),
    "wrong number": (lambda paths: spoil(paths, 1, {**SECOND, "split.no": 0}), "got split.no 0 in its 2 parts, expected 0 to 1"),
    "number that is none": (lambda paths: spoil(paths, 1, {**SECOND, "split.no": [1]}), r"got split.no 0, \[1\] in its 2 parts"),
    "other model": (lambda paths: spoil(paths, 1, {**SECOND, "split.count": 3}), "do not belong together"),
    "tensor in both": (lambda paths: spoil(paths, 1, SECOND, [("a", (1,), "f32")]), "tensor 'a' is in two of its parts"),
    "tensor missing": (lambda paths: spoil(paths, 1, SECOND), "got 1 tensors in all parts, expected 2"),
    "count of millions": (lambda paths: spoil(paths, 0, {"split.count": 10**6}), "got 1000000 as split.count"),
    "count that is none": (lambda paths: spoil(paths, 0, {"split.count": "2"}), "got '2' as split.count"),
}


@pytest.mark.parametrize(("change", "words"), BAD_PARTS.values(), ids=BAD_PARTS)
def test_parts_that_do_not_belong_together_are_refused(tmp_path, change, words):
    change(write_split(tmp_path, "model", {}, [[("a", (1,), "f32")], [("b", (1,), "f32")]]))
    with pytest.raises(GgufError, match=words):
        read_header(str(min(tmp_path.iterdir())))
