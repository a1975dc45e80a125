"""Which metadata of a header are sizes, and whether they can be such."""

from __future__ import annotations

from typing import Any, Mapping

# No size in a header is larger; what is would only make the arithmetic slow.
LARGEST_SIZE = 2**40
# LLAMA_MAX_EXPERTS of src/llama-hparams.h, llama.cpp b10488.
MOST_EXPERTS = 1024

SIZES = frozenset(
    """
    block_count embedding_length context_length vocab_size nextn_predict_layers full_attention_interval
    attention.key_length attention.value_length attention.key_length_swa attention.value_length_swa attention.key_length_mla
    attention.value_length_mla attention.kv_lora_rank attention.q_lora_rank attention.sliding_window attention.chunk_size
    attention.shared_kv_layers attention.indexer.key_length rope.dimension_count expert_count expert_used_count
    expert_shared_count expert_feed_forward_length expert_shared_feed_forward_length leading_dense_block_count
    interleave_moe_layer_step moe_every_n_layers num_loops ssm.conv_kernel ssm.inner_size ssm.state_size ssm.group_count
    ssm.time_step_rank wkv.head_size token_shift_count shortconv.l_cache kda.head_dim embedding_length_per_layer_input
    embedding_length_out pooling_type
    """.split()  # noqa: SIM905 - so many words are read as words
)
# A number, or a list where the layers differ.
SIZES_BY_LAYER = frozenset(
    """
    feed_forward_length attention.head_count attention.head_count_kv attention.compress_ratios attention.recurrent_layers
    attention.sliding_window_pattern attention.indexer.types
    """.split()  # noqa: SIM905 - so many words are read as words
)


def is_size(value: Any) -> bool:
    """A whole number of a possible size, a list of them, or nothing."""
    numbers = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    return all(isinstance(item, int) and 0 <= item <= LARGEST_SIZE for item in numbers)


def odd_sizes(facts: Mapping[str, Any]) -> list[str]:
    """What is wrong with the sizes of normalised metadata, one sentence each; empty where all is well."""
    found = []
    for key in sorted(SIZES | SIZES_BY_LAYER):
        value = facts.get(key)
        if isinstance(value, (list, tuple)) and key in SIZES:
            found.append(f"a list as {key}, expected a number")
        elif not is_size(value):
            found.append(f"{key} {value!r}, expected a number from 0 to {LARGEST_SIZE}")
    return found or _odd_experts(facts)


def _odd_experts(facts: Mapping[str, Any]) -> list[str]:
    """What llama.cpp refuses about experts (load_hparams of src/llama-model.cpp, b10488)."""
    count, used = (int(facts.get(key) or 0) for key in ("expert_count", "expert_used_count"))
    if count > MOST_EXPERTS:
        return [f"expert_count {count}, expected at most {MOST_EXPERTS}"]
    # A dense model may say that it has no expert and uses one.
    if used > max(count, 1):
        return [f"expert_used_count {used}, expected at most the expert_count {count}"]
    return []
