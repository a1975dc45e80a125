"""`ansible localhost -m homelab.llm.memory_fit`: the question of somebody who has no inventory, and its answer."""

from __future__ import annotations

import json

import pytest

from tests.commands.command import ansible
from tests.gguf_files import write_gguf

METADATA = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.embedding_length": 256,
    "llama.attention.head_count": 4,
    "llama.feed_forward_length": 512,
    "llama.context_length": 8192,
    "llama.vocab_size": 1000,
}
TENSORS = [("token_embd.weight", (256, 1000), "q8_0"), ("output_norm.weight", (256,), "f32")]
TENSORS += [(f"blk.{layer}.attn_q.weight", (256, 256), "q4_0") for layer in range(2)]


@pytest.fixture
def tiny(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", METADATA, TENSORS)
    return tmp_path / "tiny.gguf"


def test_one_model_on_this_machine(tiny):
    result = ansible("homelab.llm.memory_fit", f"model={tiny} context_tokens=1024 cache_ram_mib=0")
    assert result.code == 0, result.text
    assert "SUCCESS" in result.text
    assert "table:" in result.text
    assert "kv_cache_mib: 2.0" in result.text


def test_what_does_not_fit_fails_with_a_table(tiny):
    accelerators = [{"name": "gpu0", "kind": "gpu", "memory_gib": 1, "reserved_gib": 0.4}]
    asked = {"model": str(tiny), "accelerators": accelerators, "headroom_gib": 0.2}
    result = ansible("homelab.llm.memory_fit", json.dumps(asked))
    assert result.code != 0
    assert "The models do not fit into this memory at once." in result.text
    assert "would spill to the CPU" in result.text
    assert "Traceback" not in result.text


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("context_tokens=1", "one of the following is required: model, models, metadata"),
        ("model=/nowhere/a.gguf", "/nowhere/a.gguf: cannot be read"),
        ("model=x registry=false", "x"),
    ],
)
def test_a_wrong_question_is_told_so(asked, words, tmp_path):
    result = ansible("homelab.llm.memory_fit", asked, env={"OLLAMA_MODELS": str(tmp_path)})
    assert result.code != 0
    assert words in " ".join(result.text.split())
    assert "Traceback" not in result.text
