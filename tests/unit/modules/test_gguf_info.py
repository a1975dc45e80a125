"""What gguf_info returns beside the shape."""

from __future__ import annotations

import pytest

from plugins.module_utils.gguf import read_header
from plugins.modules.gguf_info import facts
from tests.gguf_files import write_gguf, write_split

TOKENS = {"tokenizer.ggml.tokens": ["token"] * 5000}


@pytest.mark.parametrize(
    ("metadata", "kind", "vocabulary", "tensors_bytes"),
    [
        ({}, "q8_0", None, 34),
        ({"tokenizer.ggml.tokens": ["a", "b"]}, "q8_0", 2, 34),
        (TOKENS, "q8_0", 5000, 34),
        (TOKENS, 99, 5000, None),
    ],
)
def test_facts_of_one_file(tmp_path, metadata, kind, vocabulary, tensors_bytes):
    file_bytes = write_gguf(tmp_path / "model.gguf", metadata, [("t", (32,), kind)])
    assert facts(read_header(str(tmp_path / "model.gguf"))) == {
        "file_bytes": file_bytes,
        "files": 1,
        "version": 3,
        "tensor_count": 1,
        "tensors_bytes": tensors_bytes,
        "vocabulary": vocabulary,
    }


def test_facts_of_several_files(tmp_path):
    paths = write_split(tmp_path, "model", {}, [[("a", (32,), "q8_0")], [("b", (32,), "q8_0")]])
    found = facts(read_header(str(paths[0])))
    assert (found["files"], found["tensor_count"], found["tensors_bytes"]) == (2, 2, 68)
    assert found["file_bytes"] == sum(path.stat().st_size for path in paths)
