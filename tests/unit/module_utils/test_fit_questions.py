"""What memory_fit is asked: options, the model's own settings, the engine's, and what is no question."""

from __future__ import annotations

import pytest

from plugins.module_utils.fit_questions import (
    default_context_tokens,
    effective_settings,
    embeds,
    question_of,
    settings_of,
    wishes,
)
from plugins.module_utils.gguf import GgufError
from plugins.module_utils.memory import ModelFiles
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


def found(metadata=None, **parameters):
    return Found(ModelFiles(describe(metadata or METADATA), 2**20), "test", parameters)


@pytest.mark.parametrize(
    ("wish", "parameters", "expected"),
    [
        ({}, {}, {"context_tokens": 4096, "parallel": 1, "engine": "ollama", "gpu_layers": None, "batch_tokens": None}),
        ({}, {"num_ctx": 8192, "num_batch": 256, "num_gpu": 2}, {"context_tokens": 8192, "batch_tokens": 256, "gpu_layers": 2}),
        ({}, {"num_ctx": 99999}, {"context_tokens": 10000}),
        ({}, {"num_gpu": -1}, {"gpu_layers": None}),
        ({}, {"num_ctx": 0, "num_batch": -1}, {"context_tokens": 4096, "batch_tokens": None}),
        ({"gpu_layers": 3}, {}, {"gpu_layers": None}),
        ({"gpu_layers": 99}, {}, {"gpu_layers": None}),
        ({"gpu_layers": -1}, {"num_gpu": 1}, {"gpu_layers": None}),
        ({"engine_version": "v0.24"}, {}, {"engine_version": "0.24.0"}),
        ({"engine": "llama_cpp", "engine_version": "10488"}, {}, {"engine_version": "b10488"}),
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
    settings = settings_of(wish, found(**parameters), 4096)
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


NO_QUESTIONS = [
    ({"models": []}, ValueError, "got no models"),
    ({"model": " "}, ValueError, "got model ' ', expected a path or a name"),
    ({"model": "/tmp/\0.gguf"}, ValueError, "without control characters"),
    ({"metadata": {}}, ValueError, "got neither model nor metadata"),
    ({"models": [{"context_tokens": 1}]}, ValueError, r"models\[0\]: got neither model nor metadata"),
    ({"models": [{"model": "a", "metadata": METADATA}]}, ValueError, r"models\[0\]: got both model and metadata"),
    ({"models": [None]}, ValueError, r"models\[0\]: got neither"),
    ({"model": "/nowhere/a.gguf"}, GgufError, "/nowhere/a.gguf: cannot be read"),
    ({"model": "a:b", "registry": False}, GgufError, "a:b"),
    ({"metadata": {"general.architecture": "llama"}}, MemoryShapeError, "lacks block_count"),
    ({"metadata": METADATA}, ValueError, "llama: neither the tensors nor the size"),
    ({"metadata": METADATA, "file_bytes": 0}, ValueError, "file_bytes 0, expected a whole number from 1"),
]
ODD_SETTINGS = [
    ("context_tokens", "many", "got context_tokens 'many', expected a whole number"),
    ("context_tokens", 0, "got context_tokens 0, expected a whole number from 1"),
    ("context_tokens", True, "got context_tokens True"),
    ("context_tokens", float("inf"), "got context_tokens inf"),
    ("context_tokens", 2**31, "from 1 to 2147483647"),
    ("parallel", -1, "got parallel -1, expected a whole number from 1 to 256"),
    ("parallel", 257, "got parallel 257"),
    ("batch_tokens", 0, "got batch_tokens 0"),
    ("ubatch_tokens", 1.5, "got ubatch_tokens 1.5"),
    ("gpu_layers", -2, "got gpu_layers -2, expected a whole number from -1"),
    ("cache_ram_mib", -1, r"a prompt cache without a limit \(-1\)"),
    ("kv_type", "x", "got kv_type 'x', expected one of f32"),
    ("kv_type_v", "x", "got kv_type_v 'x', expected one of f32"),
    ("engine_version", "new", "got engine_version 'new', expected one of Ollama's"),
    ("flash_attention", "maybe", "got flash_attention 'maybe', expected on, off or auto"),
]


def refused(parameters, error, words, folder):
    with pytest.raises(error, match=words):
        question_of(parameters, [], {"OLLAMA_MODELS": str(folder)})


@pytest.mark.parametrize(("parameters", "error", "words"), NO_QUESTIONS)
def test_what_is_no_question(parameters, error, words, tmp_path):
    refused(parameters, error, words, tmp_path)


@pytest.mark.parametrize(("key", "value", "words"), ODD_SETTINGS)
def test_a_setting_that_is_none_is_named(key, value, words, tmp_path):
    refused({"metadata": METADATA, "tensors": TENSORS, key: value}, ValueError, words, tmp_path)
    refused({"models": [{"metadata": METADATA, "tensors": TENSORS, key: value}]}, ValueError, words, tmp_path)


def gpu(gib):
    return Budget("gpu", "gpu", gib * 1024.0)


@pytest.mark.parametrize(
    ("budgets", "expected"),
    [
        ([], 4096),
        ([Budget("ram", "cpu", 2**20)], 4096),
        ([gpu(22)], 4096),
        ([gpu(24)], 32768),
        ([gpu(24), gpu(24)], 262144),
        # 2/3 of 32 GiB are what macOS lets the GPU use
        ([Budget("metal", "unified", 32 * 1024.0)], 4096),
        ([Budget("metal", "unified", 64 * 1024.0)], 262144),
        ([Budget("apu", "unified", 32 * 1024.0, backend="rocm")], 32768),
    ],
)
def test_ollamas_own_context_follows_the_memory(budgets, expected):
    assert default_context_tokens(budgets) == expected


def test_llama_cpp_takes_the_context_of_the_training_and_nothing_else(tmp_path):
    metadata = {key: value for key, value in METADATA.items() if key != "llama.context_length"}
    refused({"metadata": metadata, "file_bytes": 9, "engine": "llama_cpp"}, ValueError, "give context_tokens", tmp_path)


def test_settings_are_shown_with_what_the_engine_makes_of_them():
    question = question_of({"metadata": METADATA, "file_bytes": 9, "context_tokens": 99999, "parallel": 2}, [], {})
    (settings,) = effective_settings(question.demands, [gpu(24)]).values()
    assert (settings.context_tokens, settings.ubatch_tokens, settings.cache_ram_mib) == (10000, 1024, 8192)


def test_a_file_and_metadata_are_asked_about(tmp_path):
    path = tmp_path / "tiny.gguf"
    file_bytes = write_gguf(path, METADATA, TENSORS)
    parameters = {
        "models": [{"model": str(path)}, {"metadata": METADATA, "tensors": TENSORS}, {"metadata": METADATA, "file_bytes": 9}]
    }
    question = question_of(parameters, [], {})
    assert list(question.demands) == [str(path), "llama", "llama (2)"]
    assert list(question.sources.values()) == [str(path), "metadata", "metadata"]
    first, second, third = question.demands.values()
    assert first.model.file_bytes == file_bytes
    assert first.model.shape.tensors == second.model.shape.tensors
    assert third.model.shape.tensors is None
