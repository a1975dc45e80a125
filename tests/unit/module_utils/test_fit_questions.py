"""What memory_fit is asked: options, the model's own settings, the engine's, and what is no question."""

from __future__ import annotations

import pytest

from plugins.module_utils.fit_questions import budgets_of, embeds, question_of, settings_of, wishes
from plugins.module_utils.gguf import GgufError
from plugins.module_utils.memory import ModelFiles
from plugins.module_utils.memory_settings import SettingsError
from plugins.module_utils.model_shape import MemoryShapeError, describe
from plugins.module_utils.model_source import Found
from plugins.module_utils.packing import Budget
from tests.gguf_files import write_gguf

METADATA = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
    "llama.context_length": 10000,
    "llama.vocab_size": 256,
}
TENSORS = [["token_embd.weight", [64, 256], 0], ["blk.0.attn_q.weight", [64, 64], 1], ["output_norm.weight", [64], 0]]


def found(metadata=METADATA, **parameters):
    return Found(ModelFiles(describe(metadata), 2**20), "test", parameters)


@pytest.mark.parametrize(
    ("wish", "parameters", "expected"),
    [
        ({}, {}, {"context_tokens": 4096, "parallel": 1, "engine": "ollama", "gpu_layers": None, "batch_tokens": None}),
        ({}, {"num_ctx": 8192, "num_batch": 256, "num_gpu": 5}, {"context_tokens": 8192, "batch_tokens": 256, "gpu_layers": 5}),
        ({}, {"num_ctx": 99999}, {"context_tokens": 10000}),
        ({}, {"num_gpu": -1}, {"gpu_layers": None}),
        ({"context_tokens": 2048, "gpu_layers": 0}, {"num_ctx": 8192, "num_gpu": 5}, {"context_tokens": 2048, "gpu_layers": 0}),
        ({"engine": "llama_cpp"}, {"num_ctx": 8192}, {"context_tokens": 10000, "engine": "llama_cpp"}),
        ({"kv_type": "q8_0"}, {}, {"kv_type_k": "q8_0", "kv_type_v": "q8_0"}),
        ({"kv_type": "q8_0", "kv_type_v": "f16"}, {}, {"kv_type_k": "q8_0", "kv_type_v": "f16"}),
        (
            {"context_tokens": "512", "mmap": False, "embedding": True},
            {},
            {"context_tokens": 512, "mmap": False, "embedding": True},
        ),
    ],
)
def test_settings_are_those_asked_for_then_the_models_then_the_engines(wish, parameters, expected):
    settings = settings_of(wish, found(**parameters))
    assert {key: getattr(settings, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (METADATA, False),
        ({**METADATA, "llama.pooling_type": 3}, True),
        ({**METADATA, "llama.pooling_type": 0}, False),
        ({key.replace("llama", "bert"): "bert" if value == "llama" else value for key, value in METADATA.items()}, True),
    ],
)
def test_what_is_for_embeddings_is_in_the_header(metadata, expected):
    assert embeds(found(metadata).files) is expected


def test_several_models_take_the_common_settings():
    parameters = {"models": [{"model": "a"}, {"model": "b", "context_tokens": 99}], "context_tokens": 512, "engine": "ollama"}
    assert [(wish["model"], wish["context_tokens"], wish["engine"]) for wish in wishes(parameters)] == [
        ("a", 512, "ollama"),
        ("b", 99, "ollama"),
    ]


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        ({"models": [{"model": "a", "contex": 1}]}, ValueError, r"models\[0\]: got the key 'contex'"),
        ({"models": [{"context_tokens": 1}]}, ValueError, r"models\[0\]: got neither model nor metadata"),
        (
            {"metadata": METADATA, "tensors": TENSORS, "context_tokens": "many"},
            ValueError,
            "context_tokens 'many', expected a whole",
        ),
        ({"metadata": {}, "model": "/nowhere/a.gguf"}, GgufError, "/nowhere/a.gguf: cannot be read"),
        ({"model": "a:b", "registry": False}, GgufError, "a:b"),
        ({"metadata": {"general.architecture": "llama"}}, MemoryShapeError, "lacks block_count"),
        ({"metadata": METADATA}, ValueError, "neither the tensors nor the size"),
        ({"metadata": METADATA, "tensors": TENSORS, "parallel": -1}, SettingsError, "parallel -1"),
    ],
)
def test_what_is_no_question(parameters, error, words, tmp_path):
    with pytest.raises(error, match=words):
        question_of(parameters, {"OLLAMA_MODELS": str(tmp_path)})


def test_a_file_and_metadata_are_asked_about(tmp_path):
    path = tmp_path / "tiny.gguf"
    file_bytes = write_gguf(path, METADATA, [(name, shape, kind) for name, shape, kind in TENSORS])
    parameters = {
        "models": [{"model": str(path)}, {"metadata": METADATA, "tensors": TENSORS}, {"metadata": METADATA, "file_bytes": 9}]
    }
    question = question_of(parameters, {})
    assert list(question.demands) == [str(path), "llama", "llama (2)"]
    assert list(question.sources.values()) == [str(path), "metadata", "metadata"]
    first, second, third = question.demands.values()
    assert first.model.file_bytes == file_bytes
    assert first.model.shape.tensors == second.model.shape.tensors
    assert third.model.shape.tensors is None


def here():
    return [Budget("ram", "cpu", 4096.0)]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, [("ram", 4096 - 512, "cpu")]),
        ([{"name": "a", "kind": "gpu", "memory_gib": 8, "reserved_gib": 1}], [("a", 8192 - 1024 - 512, "cuda")]),
        ([{"name": "a", "kind": "gpu", "memory_gib": 8, "headroom_gib": 0, "backend": "rocm"}], [("a", 8192, "rocm")]),
        ([{"name": "m", "kind": "unified", "memory_gib": 64, "wired_limit_gib": 60}], [("m", 60 * 1024 - 512, "metal")]),
    ],
)
def test_accelerators_are_those_described_or_those_here(said, expected):
    assert [(item.name, item.budget_mib, item.library) for item in budgets_of(said, 0.5, here)] == expected


@pytest.mark.parametrize(
    ("said", "there", "words"),
    [
        (None, list, "cannot be told"),
        ([{"name": "a", "kind": "gpu", "memory_gib": 1, "reserved_gib": 1}], here, "nothing is left of the accelerator a"),
        ([{"name": "a", "kind": "gpu", "memory_gib": 8}] * 2, here, "names that differ"),
    ],
)
def test_accelerators_that_are_none(said, there, words):
    with pytest.raises(ValueError, match=words):
        budgets_of(said, 0.5, there)
