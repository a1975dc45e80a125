"""Where a model is found: a path, a store, a registry; and what its projector and adapters add."""

from __future__ import annotations

import hashlib
import json

import pytest

from plugins.module_utils.gguf import GgufError
from plugins.module_utils.model_source import find_model, stores_here
from tests.gguf_files import write_gguf

METADATA = {
    "general.architecture": "llama",
    "llama.block_count": 1,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
}
TENSORS = [("token_embd.weight", (64, 256), "f32"), ("blk.0.attn_q.weight", (64, 64), "f16")]
KIND = "application/vnd.ollama.image."


def stored(folder, layers, parameters=None):
    """An Ollama's store with one model ``tiny:latest`` of these layers."""
    blobs, names = folder / "blobs", folder / "manifests/registry.ollama.ai/library/tiny"
    blobs.mkdir(parents=True)
    names.mkdir(parents=True)
    entries = []
    for kind, write in layers:
        path = blobs / "new"
        write(path)
        digest = hashlib.sha256(kind.encode()).hexdigest()
        entries.append({"mediaType": KIND + kind, "digest": f"sha256:{digest}", "size": path.stat().st_size})
        path.rename(blobs / f"sha256-{digest}")
    if parameters:
        data = json.dumps(parameters).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / f"sha256-{digest}").write_bytes(data)
        entries.append({"mediaType": KIND + "params", "digest": f"sha256:{digest}", "size": len(data)})
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "layers": entries}
    (names / "latest").write_text(json.dumps(manifest), encoding="utf-8")
    return str(folder)


def model(path):
    write_gguf(path, METADATA, TENSORS)


def projector(path):
    write_gguf(path, {"general.architecture": "clip"}, [("v.x.weight", (64, 64), "f32")])


def test_a_model_of_a_store_is_found_with_what_belongs_to_it(tmp_path):
    layers = [("model", model), ("projector", projector), ("adapter", lambda path: path.write_bytes(bytes(100)))]
    store = stored(tmp_path / "store", layers, {"num_ctx": 8192})
    found = find_model("tiny", ["/nowhere", store], None)
    assert (found.source, found.parameters) == (store, {"num_ctx": 8192})
    assert (found.files.projector_bytes, found.files.adapter_bytes) == (64 * 64 * 4, 100)
    assert found.files.shape.tensors.token_embedding_bytes == 64 * 256 * 4


def test_a_path_is_a_file(tmp_path):
    model(tmp_path / "a.gguf")
    found = find_model(str(tmp_path / "a.gguf"), [], None)
    assert (found.files.projector_bytes, found.parameters) == (0, {})


@pytest.mark.parametrize(
    ("name", "words"),
    [("/nowhere/a.gguf", "cannot be read"), ("other", "is not in"), ("no one@here", "Ollama reads no digest|invalid")],
)
def test_what_is_nowhere_is_said_with_what_was_tried(name, words, tmp_path):
    store = stored(tmp_path / "store", [("model", model)])
    with pytest.raises(GgufError, match=words):
        find_model(name, [store], None)


def test_without_a_store_and_a_registry_there_is_nowhere_to_look():
    with pytest.raises(GgufError, match="no Ollama keeps models here"):
        find_model("tiny", [], None)


@pytest.mark.parametrize(("environment", "count"), [({"OLLAMA_MODELS": "/data"}, 1), ({}, 2)])
def test_stores_are_the_one_that_is_set_or_the_usual_ones(environment, count):
    assert len(stores_here(environment)) == count
