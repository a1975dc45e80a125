"""Ollama's spellings of a model's metadata, translated to llama.cpp's.

Source: llama/compat/llama-ollama-compat.cpp of Ollama v0.33.0, which does the same when a model is loaded.
"""

from __future__ import annotations

from typing import Any, Callable, Collection, Dict, Mapping

RENAMED = {
    "gptoss": "gpt-oss",
    "qwen25vl": "qwen2vl",
    "olmo3": "olmo2",
    "deepseekocr": "deepseek2-ocr",
    "glmocr": "glm4",
    "glm4moelite": "deepseek2",
    # Ollama's own engine (v0.24) and its converters.
    "lfm2_moe": "lfm2moe",
    "nomic-bert-text": "nomic-bert",
}

Metadata = Dict[str, Any]


def normalised(metadata: Mapping[str, Any], tensor_names: Collection[str] = ()) -> Metadata:
    """The metadata as llama.cpp spells it: architecture, key prefix, and the keys that Ollama stores otherwise.

    Returns a new dictionary whose architecture keys have lost their prefix; ``general.*`` and ``tokenizer.*`` stay as they are.
    """
    said = metadata.get("general.architecture")
    architecture = str(said) if isinstance(said, str) else ""
    facts = _without_prefix(metadata, architecture)
    facts["general.architecture"] = _translated(architecture, facts, tensor_names)
    change = CHANGES.get(architecture)
    if change:
        change(facts)
    return facts


def _without_prefix(metadata: Mapping[str, Any], architecture: str) -> Metadata:
    prefix = f"{architecture}."
    plain = {key: value for key, value in metadata.items() if not key.startswith(prefix)}
    return {**plain, **{key[len(prefix) :]: value for key, value in metadata.items() if key.startswith(prefix)}}


def _translated(architecture: str, facts: Metadata, tensor_names: Collection[str]) -> str:
    if architecture == "gemma3" and _is_embedding_gemma(facts, tensor_names):
        facts.pop("attention.sliding_window_pattern", None)
        return "gemma-embedding"
    if architecture == "nemotron_h_omni":
        return "nemotron_h_moe" if facts.get("expert_count") or facts.get("expert_used_count") else "nemotron_h"
    return RENAMED.get(architecture, architecture)


def _is_embedding_gemma(facts: Mapping[str, Any], tensor_names: Collection[str]) -> bool:
    return "dense.0.weight" in tensor_names or (not tensor_names and facts.get("pooling_type") is not None)


def _collapse_kv_heads(facts: Metadata) -> None:
    """One number of KV heads where the blob lists a 0 for each recurrent layer."""
    heads = facts.get("attention.head_count_kv")
    if isinstance(heads, (list, tuple)) and heads:
        facts["attention.head_count_kv"] = max(int(count) for count in heads)


def _compressed_attention(facts: Metadata) -> None:
    """GLM-4.7 Flash: the head lengths of the blob become those of the compressed cache (handle_glm4moelite)."""
    rank, rope = facts.get("attention.kv_lora_rank"), facts.get("rope.dimension_count")
    length = facts.get("attention.key_length")
    facts["attention.head_count_kv"] = 1
    if rank and rope:
        facts["attention.key_length"], facts["attention.value_length"] = int(rank) + int(rope), int(rank)
    if length:
        facts["attention.key_length_mla"] = facts["attention.value_length_mla"] = int(length)


CHANGES: dict[str, Callable[[Metadata], None]] = {
    "qwen35": _collapse_kv_heads,
    "qwen35moe": _collapse_kv_heads,
    "qwen3next": _collapse_kv_heads,
    "glm4moelite": _compressed_attention,
}
