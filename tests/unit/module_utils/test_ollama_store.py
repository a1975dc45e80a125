"""Headers out of Ollama's own store of models."""

from __future__ import annotations

import pytest

from plugins.module_utils.gguf import GgufError
from plugins.module_utils.ollama_store import find_model_file, read_ollama_blob, stored_models
from tests.gguf_files import complete
from tests.module_doors import call_module
from tests.web_server import digest_of, layer, manifest

HEAD, FILE_BYTES = complete({"general.architecture": "llama", "llama.block_count": 2}, [("t", (32,), "q8_0")])
FILE = HEAD.ljust(FILE_BYTES, b"\0")
PARAMETERS = b'{"num_ctx": 8192}'
CONFIG = b'{"model_format": "gguf"}'
MANIFEST = manifest([layer("model", FILE), layer("params", PARAMETERS), layer("license", b"free")], CONFIG)


@pytest.fixture
def store(tmp_path):
    """A store with the model team/Model:7b of the official registry."""
    folder = tmp_path / "manifests" / "registry.ollama.ai" / "team" / "Model"
    folder.mkdir(parents=True)
    (folder / "7b").write_bytes(MANIFEST)
    (tmp_path / "blobs").mkdir()
    for blob in (FILE, PARAMETERS, CONFIG):
        blob_path(tmp_path, blob).write_bytes(blob)
    return tmp_path


def blob_path(store, blob):
    return store / "blobs" / digest_of(blob).replace(":", "-")


@pytest.mark.parametrize("name", ["team/Model:7b", "registry.ollama.ai/team/Model:7b", "TEAM/model:7B"])
def test_a_model_is_read_with_what_its_manifest_says(store, name):
    found = read_ollama_blob(str(store), name)
    assert (found.metadata["llama.block_count"], found.file_bytes, found.transferred_bytes) == (2, FILE_BYTES, 0)
    assert found.manifest.bytes_by_kind == {"model": FILE_BYTES, "params": len(PARAMETERS), "license": 4}
    assert (found.manifest.parameters, found.manifest.config) == ({"num_ctx": 8192}, {"model_format": "gguf"})
    assert found.digests == (digest_of(FILE),)


def replace_manifest(data):
    return lambda store: (store / "manifests/registry.ollama.ai/team/Model/7b").write_bytes(data)


def replace_blob(blob, data):
    return lambda store: blob_path(store, blob).write_bytes(data)


BROKEN = {
    "no model": (
        lambda store: (store / "manifests/registry.ollama.ai/team/Model/7b").unlink(),
        "is not in .*; expected .*: pull the",
    ),
    "no store": (
        lambda store: (store / "manifests").rename(store / "elsewhere"),
        "is not in .*name the directory that Ollama uses",
    ),
    "no blob": (lambda store: blob_path(store, FILE).unlink(), "its manifest is there, but not the blob .*: pull it again"),
    "no parameters": (lambda store: blob_path(store, PARAMETERS).unlink(), "its params layer is missing; expected"),
    "a part of the blob": (replace_blob(FILE, FILE[:-40]), "the file has"),
    "a longer blob": (replace_blob(FILE, FILE + b"x"), "got .* bytes, the manifest of team/Model:7b says"),
    "no manifest": (replace_manifest(b"<html>"), "its manifest is no JSON object"),
    "large parameters": (replace_blob(PARAMETERS, b" " * (2**20 + 1)), "has more than 1048576 bytes"),
    "a folder": (
        lambda store: (blob_path(store, PARAMETERS).unlink(), blob_path(store, PARAMETERS).mkdir()),
        "cannot be read: Is a dir",
    ),
}


@pytest.mark.parametrize(("change", "words"), BROKEN.values(), ids=BROKEN)
def test_what_is_not_whole_is_refused(store, change, words):
    change(store)
    with pytest.raises(GgufError, match=words):
        read_ollama_blob(str(store), "team/Model:7b")


def test_the_file_of_a_model_is_found(store):
    assert find_model_file(str(store), "team/model:7b") == (str(blob_path(store, FILE)), digest_of(FILE)[7:])


NO_ONE_FILE = {
    "two files": (replace_manifest(manifest([layer("model", FILE), layer("model", b"more")])), "its weights are 2 files"),
    "an adapter": (replace_manifest(manifest([layer("model", FILE), layer("adapter", b"a")])), "it has adapter layers"),
    "no model": BROKEN["no model"],
    "no weights": (replace_manifest(manifest([layer("license", b"free")])), "has no model layer"),
    "no blob": BROKEN["no blob"],
}


@pytest.mark.parametrize(("change", "words"), NO_ONE_FILE.values(), ids=NO_ONE_FILE)
def test_a_model_that_is_not_one_file_is_refused(store, change, words):
    change(store)
    with pytest.raises(GgufError, match=words):
        find_model_file(str(store), "team/Model:7b")


@pytest.mark.parametrize(
    ("change", "there"),
    [
        (lambda store: None, True),
        (BROKEN["no model"][0], False),
        (BROKEN["no store"][0], False),
        (BROKEN["no blob"][0], False),
        (BROKEN["no parameters"][0], False),
        (BROKEN["a part of the blob"][0], False),
        (BROKEN["no manifest"][0], False),
        # Foreign files are no manifests.
        (lambda store: (store / "manifests" / "registry.ollama.ai" / "readme").write_bytes(MANIFEST), True),
    ],
)
def test_models_that_are_whole_are_listed_without_an_engine(store, change, there):
    blob_path(store, b"free").write_bytes(b"free")
    change(store)
    assert stored_models(str(store)) == (["registry.ollama.ai/team/Model:7b"] if there else [])


def test_the_module_tells_what_is_stored(store):
    blob_path(store, b"free").write_bytes(b"free")
    assert call_module("ollama_store_info", models_directory=str(store))["models"] == ["registry.ollama.ai/team/Model:7b"]
