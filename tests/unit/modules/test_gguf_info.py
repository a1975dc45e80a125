"""What gguf_info returns beside the shape."""

from __future__ import annotations

import pytest

from plugins.module_utils.gguf import GgufError, read_header
from plugins.modules.gguf_info import check_reader, difference, facts, locate
from tests.gguf_files import write_gguf, write_split
from tests.web_server import digest_of, layer, manifest

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


def test_a_path_is_taken_as_it_is():
    assert locate({"path": "/models/a.gguf", "ollama_model": None}) == ("/models/a.gguf", None)


def test_a_model_of_ollama_is_looked_for_in_its_store(tmp_path):
    folder = tmp_path / "manifests" / "registry.ollama.ai" / "library" / "tiny"
    folder.mkdir(parents=True)
    (folder / "latest").write_bytes(manifest([layer("model", b"GGUF")]))
    (tmp_path / "blobs").mkdir()
    blob = tmp_path / "blobs" / digest_of(b"GGUF").replace(":", "-")
    blob.write_bytes(b"GGUF")
    wanted = {"path": None, "ollama_model": "tiny", "ollama_models_directory": str(tmp_path)}
    assert locate(wanted) == (str(blob), digest_of(b"GGUF")[7:])


def test_a_reader_who_is_shut_out_is_refused(monkeypatch):
    monkeypatch.setattr("plugins.modules.gguf_info.closed_part", lambda path, reader: "/")
    check_reader("/models/a.gguf", None, [])
    with pytest.raises(GgufError, match="root may not enter /"):
        check_reader("/models/a.gguf", "root", [])


def test_a_group_that_is_not_there_is_refused():
    with pytest.raises(GgufError, match="no group homelab-none"):
        check_reader("/models/a.gguf", "root", ["homelab-none"])


def test_a_difference_is_said_with_both_values():
    declared = {"declared_shape": {"block_count": 3}, "declared_file_bytes": 34}
    assert difference(declared, {"block_count": 2, "file_bytes": 34}) == "block_count: declared 3, found 2"
    assert difference({"declared_shape": {}, "declared_file_bytes": None}, {"block_count": 2}) == ""
