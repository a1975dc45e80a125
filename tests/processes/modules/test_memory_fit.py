"""The module memory_fit from its arguments to its answer: every source of a model, every kind of host, odd questions."""

from __future__ import annotations

import functools
import json
import math

import pytest

from tests.gguf_files import complete, write_gguf
from tests.module_doors import call_module
from tests.unit.module_utils.test_model_source import METADATA, TENSORS, stored
from tests.web_server import WebServer, ranged, registry

HEAD, FILE_BYTES = complete(METADATA, TENSORS)
FILE = HEAD.ljust(FILE_BYTES, b"\0")
GPU = {"name": "gpu0", "kind": "gpu", "memory_gib": 8}
SMALL_GPU = {"name": "gpu0", "kind": "gpu", "memory_gib": 0.75, "headroom_gib": 0.25}
RAM = {"name": "ram", "kind": "cpu", "memory_gib": 16}
MAC = {"name": "metal", "kind": "unified", "memory_gib": 16}
DECLARED = {"architecture": "llama", "block_count": 4, "embedding_length": 1024, "head_count": 8, "head_count_kv": 8}


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No store, cache or proxy of the machine."""
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "no store"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


ask = functools.partial(call_module, "memory_fit")


@pytest.fixture
def tiny(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", METADATA, TENSORS)
    return str(tmp_path / "tiny.gguf")


SPLIT = {"metadata": DECLARED, "file_bytes": 900 * 2**20, "context_tokens": 1024, "cache_ram_mib": 0}
HOSTS = [
    ([GPU], {}, {"gpu0": "fits"}),
    ([GPU, RAM], {}, {"gpu0": "fits", "ram": "fits"}),
    ([RAM], {}, {"ram": "fits"}),
    ([MAC], {}, {"metal": "fits"}),
    ([SMALL_GPU], {}, {"gpu0": "spills"}),
    ([SMALL_GPU, RAM], {"engine": "llama_cpp", "gpu_layers": 0}, {"gpu0": "fits", "ram": "fits"}),
    ([{**SMALL_GPU, "memory_gib": 1.7}, {**SMALL_GPU, "name": "gpu1", "memory_gib": 1.7}], {}, {"gpu0": "fits", "gpu1": "fits"}),
    ([{**RAM, "memory_gib": 1}], {}, {"ram": "over"}),
    ([{**MAC, "memory_gib": 1.5}], {}, {"metal": "over"}),
]


@pytest.mark.parametrize(("accelerators", "more", "expected"), HOSTS)
def test_each_accelerator_has_a_verdict(accelerators, more, expected):
    answer = ask(**SPLIT, **more, accelerators=accelerators, fail_unless_fits=False)
    assert {item["name"]: item["verdict"] for item in answer["accelerators"]} == expected
    assert answer["fits"] is (set(expected.values()) == {"fits"})
    assert answer["changed"] is False


def test_what_does_not_fit_fails_with_the_table_and_what_mends_it():
    answer = ask(**{**SPLIT, "context_tokens": 131072, "parallel": 8}, accelerators=[GPU])
    first, _empty, head, *_rest = answer["msg"].splitlines()
    assert (answer["failed"], answer["fits"]) == (True, False)
    assert first == "llama does not fit."
    assert head.split()[:5] == ["GiB", "weights", "kv", "cache", "compute"]
    assert "find no room" in answer["msg"]
    assert "It would fit with parallel=1, or with context_tokens=" in answer["msg"]
    assert answer["remedies"][0]["model"] is None
    assert "table" not in answer


def test_what_fits_is_a_table_whose_lines_are_alike():
    answer = ask(**SPLIT, accelerators=[GPU, RAM])
    assert all(line == "" or line.startswith(" ") for line in answer["table"])
    assert answer["models"][0]["settings"]["context_tokens"] == 1024
    assert answer["remedies"] == []


def test_check_mode_says_the_same(tiny):
    asked = {"model": tiny, "accelerators": [GPU]}
    assert ask(**asked, check_mode=True)["models"] == ask(**asked)["models"]


def test_a_model_is_found_wherever_it_is(tmp_path, monkeypatch, tiny):
    store = stored(tmp_path / "store", [("model", lambda path: path.write_bytes(FILE))], {"num_ctx": 777})
    monkeypatch.setenv("OLLAMA_MODELS", store)
    parameters = json.dumps({"num_ctx": 888}).encode()
    routes = {
        "/files/model.gguf": ranged(FILE),
        **registry("library/official", "latest", {"model": [FILE], "params": [parameters]}, b"{}"),
        **registry("user/repository", "Q4_K_M", {"model": [FILE]}, b"{}"),
        **registry("team/model", "1.0", {"model": [FILE]}, b"{}"),
    }
    with WebServer(routes) as server:
        names = ["library/official", "user/repository:Q4_K_M", "team/model:1.0"]
        models = [tiny, "tiny", f"{server.url}/files/model.gguf", *(f"{server.host}/{name}" for name in names)]
        answer = ask(models=[{"model": model} for model in models], plain_http=True, accelerators=[GPU], cache_ram_mib=0)
    sizes = {(item["pools"][0]["weights_mib"], item["bound"]) for item in answer["models"]}
    assert len(sizes) == 1
    assert [item["settings"]["context_tokens"] for item in answer["models"]] == [4096, 777, 4096, 888, 4096, 4096]
    assert [item["source"] for item in answer["models"]][:2] == [tiny, store]


MODEL = {"metadata": DECLARED, "file_bytes": 2**20}
ODD = [
    ({}, "one of the following is required: model, models, metadata"),
    ({"model": ""}, "got model '', expected a path or a name"),
    ({"model": None, "models": None}, "mutually exclusive"),
    ({"models": []}, "got no models"),
    ({"models": ["x"]}, "could not parse JSON or key=value"),
    ({"models": [{"contex": 1}]}, "Unsupported parameters|contex"),
    ({"models": [{}]}, "models[0]: got neither model nor metadata"),
    ({"model": "x", "metadata": DECLARED}, "mutually exclusive"),
    ({"model": "/nowhere.gguf"}, "/nowhere.gguf: cannot be read: No such file"),
    ({"model": "/"}, "/: cannot be read: Is a directory"),
    ({"model": "/dev/null"}, "/dev/null: is no regular file"),
    ({"model": "x" * 5000, "registry": False}, "is none that Ollama accepts|no Ollama keeps models here"),
    ({"model": "no name!"}, "is no name of a model"),
    ({"model": "ftp://host/a.gguf"}, "expected http://"),
    ({"model": "127.0.0.1:1/a/b", "plain_http": True}, "the connection failed"),
    ({"metadata": {"a": 1}, "file_bytes": 1}, "no general.architecture"),
    ({"metadata": {**DECLARED, "layers": 1}, "file_bytes": 1}, "got layers in a declared shape"),
    ({"metadata": {**DECLARED, "block_count": math.nan}, "file_bytes": 1}, "block_count nan"),
    ({"metadata": DECLARED}, "neither the tensors nor the size"),
    ({**MODEL, "tensors": [[1]]}, "got tensors[0] [1], expected [name, shape, type]"),
    ({**MODEL, "tensors": [["a", None, 0]]}, "got tensors[0]"),
    ({**MODEL, "tensors": [["a", [-1], 0]]}, "got tensors[0]"),
    ({**MODEL, "tensors": [["a", [1, 1, 1, 1, 1], 0]]}, "got tensors[0]"),
    ({**MODEL, "tensors": [["a", [1], "q99"]]}, "got tensors[0]"),
    ({**MODEL, "context_tokens": "4k"}, "'4k'"),
    ({**MODEL, "context_tokens": -1}, "got context_tokens -1, expected a whole number from 1"),
    ({**MODEL, "parallel": 10**30}, "got parallel"),
    ({**MODEL, "cache_ram_mib": -1}, "prompt cache without a limit"),
    ({**MODEL, "kv_type": "x"}, "value of kv_type must be one of"),
    ({**MODEL, "engine_version": "new"}, "got engine_version 'new'"),
    ({**MODEL, "accelerators": [{}]}, "missing required arguments"),
    ({**MODEL, "accelerators": [{**GPU, "memory_gib": math.nan}]}, "accelerators[0]: got memory_gib nan"),
    ({**MODEL, "accelerators": [{**GPU, "memory_gib": 0}]}, "nothing is left of gpu0"),
    ({**MODEL, "accelerators": [MAC, RAM]}, "got metal and ram, expected one memory"),
    ({**MODEL, "headroom_gib": -1}, "got headroom_gib -1"),
]


@pytest.mark.parametrize(("arguments", "words"), ODD)
def test_an_odd_question_is_answered_in_one_sentence(arguments, words):
    answer = ask(**arguments)
    assert answer["failed"]
    assert any(word in answer["msg"] for word in words.split("|")), answer["msg"]
    assert "\n" not in answer["msg"]
    assert "exception" not in answer


@pytest.mark.parametrize("content", [b"", b"hello" * 100, HEAD[:100], b"GGUF" + bytes(100)])
def test_a_file_that_is_no_model_is_refused(content, tmp_path):
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    answer = ask(model=str(path))
    assert answer["failed"]
    assert str(path) in answer["msg"]


def test_where_stores_and_registries_lack_a_model_both_are_named(tmp_path, monkeypatch):
    store = stored(tmp_path / "store", [("model", lambda path: path.write_bytes(FILE))])
    monkeypatch.setenv("OLLAMA_MODELS", store)
    with WebServer({}) as server:
        answer = ask(model=f"{server.host}/library/other", plain_http=True)
    assert f"is not in {store}" in answer["msg"]
    assert "the server answered 404" in answer["msg"]
