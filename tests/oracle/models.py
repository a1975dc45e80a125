"""A small model of every architecture of llama.cpp b10488 that a header without tensors can describe: 12 layers that differ.

Keys without the architecture's prefix. OVERRIDES: what an architecture needs to be itself (patterns, hybrids, compressed
attention), or to be accepted at all.
"""

from __future__ import annotations

from typing import Any

HALF = [0, 4] * 6
QUARTER = [0, 0, 0, 1] * 3
LATENT = {
    "attention.key_length": 576,
    "attention.value_length": 512,
    "attention.key_length_mla": 192,
    "attention.value_length_mla": 128,
    "attention.head_count_kv": 1,
    "rope.dimension_count": 64,
}
FULL_HEADS = ("rwkv6", "jina-bert-v2", "olmoe", "jais2", "dots1", "deepseek2-ocr", "t5encoder")
DENSE = {"expert_count": None, "expert_used_count": None}
BASE: dict[str, Any] = {
    "vocab_size": 1024, "context_length": 8192, "embedding_length": 512, "features_length": 512, "block_count": 12,
    "leading_dense_block_count": 1, "feed_forward_length": 768, "use_parallel_residual": False, "logit_scale": 1.0,
    "time_mix_extra_dim": 64, "time_decay_extra_dim": 128, "full_attention_interval": 4, "attention.head_count": 8,
    "attention.head_count_kv": 4, "attention.max_alibi_bias": 8.0, "attention.clamp_kqv": 1.0,
    "attention.layer_norm_epsilon": 1e-5, "attention.layer_norm_rms_epsilon": 1e-5, "attention.group_norm_epsilon": 1e-5,
    "attention.group_norm_groups": 8, "attention.q_lora_rank": 256, "attention.kv_lora_rank": 512,
    "attention.relative_buckets_count": 8, "attention.sliding_window": 1024, "attention.indexer.head_count": 4,
    "attention.indexer.key_length": 64, "attention.indexer.top_k": 8, "attention.indexer.block_size": 4,
    "attention.indexer.local_blocks": 1, "rope.dimension_sections": [16, 16, 16, 16], "expert_feed_forward_length": 384,
    "expert_shared_feed_forward_length": 384, "expert_latent_length": 768, "interleave_moe_layer_step": 2, "expert_count": 4,
    "expert_used_count": 2, "expert_shared_count": 1, "expert_gating_func": 2, "expert_group_scale": 1.0,
    "experts_per_group": 1, "expert_weights_scale": 1.0, "expert_weights_norm": True, "posnet.embedding_length": 512,
    "posnet.block_count": 2, "convnext.embedding_length": 512, "convnext.block_count": 2, "ssm.inner_size": 1024,
    "ssm.conv_kernel": 4, "ssm.state_size": 64, "ssm.time_step_rank": 8, "ssm.group_count": 2, "kda.head_dim": 64,
    "kda.safe_gate": True, "kda.gate_lower_bound": -5.0, "wkv.head_size": 64, "shortconv.l_cache": 3, "residual_scale": 1.0,
    "attn_res.block_size": 4, "activation.situ_beta": 4.0, "activation.situ_linear_beta": 25.0,
    "embedding_length_per_layer_input": 128, "attention.decay_lora_rank": 64, "attention.iclr_lora_rank": 64,
    "attention.value_residual_mix_lora_rank": 64, "attention.gate_lora_rank": 64, "embedding_scale": 1.0,
    "attention.scale": 1.0,
}  # fmt: skip
# Keys without a prefix.
COMMON: dict[str, Any] = {
    "tokenizer.ggml.model": "no_vocab",
    "tokenizer.ggml.token_type_count": 2,
    **{f"xielu.{key}": 1.0 for key in ("alpha_n", "alpha_p", "beta", "eps")},
}
OVERRIDES: dict[str, dict[str, Any]] = {
    "gemma3n": {"block_count": 22},
    "gemma4": {
        "attention.shared_kv_layers": 4,
        "attention.key_length": 128,
        "attention.value_length": 128,
        "attention.key_length_swa": 64,
        "attention.value_length_swa": 64,
        "rope.freq_base_swa": 1e4,
        "attention.sliding_window_pattern": [True, True, True, False] * 3,
    },
    **{
        name: {"attention.sliding_window_pattern": [1, 0] * 6, "rope.freq_base_swa": 1e4}
        for name in ("mimo2", "step35")
    },
    **{name: {"attention.sliding_window_pattern": [1, 1, 0] * 4} for name in ("cohere2moe", "muse-glimmer", "mellum")},
    "dflash": {"target_layers": [1, 2, 3], "attention.sliding_window_pattern": [1, 0] * 6},
    **dict.fromkeys(("deepseek2", "deepseek32", "glm-dsa", "mistral4"), LATENT),
    **{key: {**LATENT, "attention.head_count_kv": QUARTER} for key in ("kimi-linear", "kimi-k3")},
    "bailingmoe3": {
        **LATENT,
        "attention.head_count_kv": QUARTER,
        "swiglu_clamp_exp": [0.0] * 12,
        "swiglu_clamp_shexp": [0.0] * 12,
    },
    "deepseek4": {
        "attention.compress_ratios": [0, 4, 128] * 4,
        "swiglu_clamp_exp": [0.0] * 12,
        "swiglu_clamp_shexp": [0.0] * 12,
        "attention.output_group_count": 4,
        "attention.output_lora_rank": 64,
        "attention.compress_rope_freq_base": 1e4,
        "hyper_connection.count": 4,
        "hyper_connection.sinkhorn_iterations": 20,
        "hyper_connection.epsilon": 1e-6,
        "hash_layer_count": 2,
        "expert_gating_func": 4,
        "attention.head_count_kv": 1,
        "attention.key_length": 512,
        "attention.value_length": 512,
        "rope.dimension_count": 64,
    },
    "minimax-m3": {"rope.dimension_count": 64},
    **{key: {"attention.head_count_kv": HALF} for key in ("jamba", "granitehybrid", "lfm2", "lfm2moe")},
    "plamo2": {"attention.head_count_kv": HALF, "ssm.group_count": 0},
    "nemotron_h": {"attention.head_count_kv": [0, 0, 4, 0] * 3, "feed_forward_length": [0, 768, 0, 768] * 3, **DENSE},
    "nemotron_h_moe": {"attention.head_count_kv": [0, 0, 4, 0] * 3, "feed_forward_length": [0, 768, 0, 768] * 3},
    **{key: {"ssm.inner_size": 512} for key in ("qwen3next", "qwen35moe")},
    "qwen35": {"ssm.inner_size": 512, **DENSE},
    **{key: {"attention.head_count": 0, "attention.head_count_kv": None} for key in ("mamba", "mamba2")},
    **{key: {"attention.head_count_kv": 8} for key in FULL_HEADS},
    "rwkv7": {"attention.head_count": None, "attention.head_count_kv": None},
    "arwkv7": {"token_shift_count": 1},
    "graniteswitch": {
        "adapters.count": 2,
        "adapters.lora_rank": 8,
        "adapters.token_ids_activate": [1, 2],
        "adapters.token_ids_substitute": [3, 4],
        **DENSE,
    },
    "nanbeige": {"num_loops": 2},
    "qwen3tts": {"vocab_size": 4096},
    "chameleon": {"vocab_size": 10240},
    "nomic-bert-moe": {"moe_every_n_layers": 2},
    **{key: {"n_deepstack_layers": 3} for key in ("qwen3vl", "qwen3vlmoe")},
    "minicpm3": {"attention.head_count_kv": 8, "attention.key_length": 96, "rope.dimension_count": 32},
}  # fmt: skip
# Tensors that are no floating-point numbers, which llama.cpp does not make up by itself.
TYPED = {"deepseek4": [(f"blk.{layer}.ffn_gate_tid2eid.weight", (2, 1024), "i32") for layer in range(2)]}
# Without what the graph needs of another model (drafts), without an implementation, or whose graph refuses these widths.
LEFT_OUT = frozenset({"clip", "gptj", "eagle3", "gemma4-assistant", "plm", "rwkv6qwen2", "t5"})
# Compressed attention takes one type for both caches; grok switches flash attention off, and with it quantised values.
ONE_TYPE = frozenset(["deepseek2", "deepseek32", "deepseek4", "glm-dsa", "mistral4", "kimi-linear", "kimi-k3", "bailingmoe3"])
NO_FLASH = frozenset({"grok"})

# Context of all sequences together, sequences, micro-batch, flash attention, types, options of the probe.
SETTINGS: list[dict[str, Any]] = [
    {"context": 8192, "parallel": 1, "ubatch": 512, "flash": "on", "k": "f16", "v": "f16", "options": []},
    {"context": 16384, "parallel": 4, "ubatch": 256, "flash": "off", "k": "f16", "v": "f16", "options": []},
    {"context": 20000, "parallel": 3, "ubatch": 1024, "flash": "on", "k": "q8_0", "v": "q4_0", "options": []},
    {"context": 12288, "parallel": 2, "ubatch": 512, "flash": "on", "k": "f16", "v": "f16", "options": ["unified"]},
    {"context": 8192, "parallel": 2, "ubatch": 512, "flash": "on", "k": "f16", "v": "f16", "options": ["swa-full"]},
]


def metadata_of(name: str) -> dict[str, Any]:
    """The whole metadata of the small model of an architecture."""
    keys = {**BASE, **OVERRIDES.get(name, {})}
    return {
        "general.architecture": name,
        **COMMON,
        **{f"{name}.{key}": value for key, value in keys.items() if value is not None},
    }


def setting_of(name: str, setting: dict[str, Any]) -> dict[str, Any]:
    """A setting as this architecture takes it."""
    if name in ONE_TYPE:
        return {**setting, "v": setting["k"]}
    return {**setting, "flash": "off", "k": "f16", "v": "f16"} if name in NO_FLASH else setting
