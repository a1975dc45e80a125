"""`ansible localhost -m homelab.llm.memory_fit`: the question of somebody who has no inventory, and its answer."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.commands.command import ROOT, ansible
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
    assert "tiny.gguf: 1024 tokens, batch 512, kv cache f16" in result.text
    assert "kv_cache_mib: 2.0" in result.text
    # The table comes last, and its lines stand below each other.
    table = [line.strip() for line in result.text.partition("table:")[2].splitlines() if line.strip()]
    assert {line[:4] for line in table if line.startswith("-") and len(line) > 4} == {"- ' "}


def test_what_does_not_fit_fails_with_a_table_and_what_would_mend_it(tiny):
    accelerators = [{"name": "gpu0", "kind": "gpu", "memory_gib": 1, "reserved_gib": 0.2}]
    asked = {"model": str(tiny), "context_tokens": 8192, "parallel": 32, "accelerators": accelerators, "headroom_gib": 0.2}
    result = ansible("homelab.llm.memory_fit", json.dumps(asked), env={"COLUMNS": "100"})
    assert result.code != 0
    assert "Module failed: tiny.gguf does not fit." in result.text
    assert "\nGiB     weights  kv cache" in result.text
    assert "find no room and would run on the CPU, which is slow." in result.text
    assert "It would fit with " in result.text
    assert "Traceback" not in result.text


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("context_tokens=1", "one of the following is required: model, models, metadata"),
        ("model=/nowhere/a.gguf", "/nowhere/a.gguf: cannot be read"),
        ("model=x registry=false", "x"),
        ("model=x context_token=5", "Unsupported parameters"),
    ],
)
def test_a_wrong_question_is_told_so(asked, words, tmp_path):
    result = ansible("homelab.llm.memory_fit", asked, env={"OLLAMA_MODELS": str(tmp_path)})
    assert result.code != 0
    assert words in " ".join(result.text.split())
    assert "Traceback" not in result.text


def test_the_page_of_the_module_is_complete():
    """ansible-doc shows units, examples and everything that is returned."""
    done = subprocess.run(["ansible-doc", "-j", "homelab.llm.memory_fit"], cwd=ROOT, capture_output=True, text=True, check=True)
    page = json.loads(done.stdout)["homelab.llm.memory_fit"]
    assert set(page["doc"]["options"]["models"]["suboptions"]) < set(page["doc"]["options"])
    assert page["doc"]["author"]
    assert "Ollama may evict" in " ".join(page["doc"]["description"])
    assert {"fits", "models", "accelerators", "host_memory", "remedies", "table"} == set(page["return"])
    assert page["examples"].count("homelab.llm.memory_fit:") >= 5
