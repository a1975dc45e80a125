"""Facts of a model as a whole: compressed attention, experts, and what a recurrent layer keeps.

Source: load_hparams of src/llama-model.cpp, n_embd_r and n_embd_s of src/llama-hparams.cpp, llama.cpp b10488.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from .architectures import Architecture


@dataclass(frozen=True)
class CompressedAttention:
    """MLA: keys and values are cached as one latent row per token; the lengths are per head once decompressed."""

    kv_lora_rank: int
    q_lora_rank: int
    key_length: int
    value_length: int
    rope_length: int


@dataclass(frozen=True)
class ExpertShape:
    """Mixture of experts; lengths are of one expert's (or all shared experts') feed-forward network."""

    count: int
    used_count: int
    shared_count: int
    feed_forward_length: int
    shared_feed_forward_length: int


@dataclass(frozen=True)
class StateShape:
    """What one recurrent layer keeps per sequence, in elements of F32: the rolling convolution inputs and the state.

    kind: ssm1, ssm2, gated_delta, short_conv, rwkv, kda, lightning.
    """

    kind: str
    conv_kernel: int
    inner_size: int
    state_size: int
    group_count: int
    time_step_rank: int
    head_length: int
    rolling_elements: int
    state_elements: int

    @property
    def elements(self) -> int:
        """All that one recurrent layer keeps per sequence."""
        return self.rolling_elements + self.state_elements


def number(facts: Mapping[str, Any], key: str, default: int = 0) -> int:
    """An integer of the metadata, or the default where it is absent."""
    value = facts.get(key)
    return default if value is None else int(value)


def item_count(value: Any) -> int | None:
    """How many items an array of the metadata has; one that was too long to keep tells its ``length``."""
    if isinstance(value, (list, tuple)):
        return len(value)
    length = getattr(value, "length", None)
    return None if length is None else int(length)


def compressed_attention(facts: Mapping[str, Any]) -> CompressedAttention | None:
    """None for the older files of these architectures, which cache every head (is_mla of src/llama-hparams.cpp)."""
    key, value = number(facts, "attention.key_length_mla"), number(facts, "attention.value_length_mla")
    if not key or not value:
        return None
    return CompressedAttention(
        kv_lora_rank=number(facts, "attention.kv_lora_rank"),
        q_lora_rank=number(facts, "attention.q_lora_rank"),
        key_length=key,
        value_length=value,
        rope_length=number(facts, "rope.dimension_count"),
    )


def expert_shape(facts: Mapping[str, Any]) -> ExpertShape | None:
    count = number(facts, "expert_count")
    if not count:
        return None
    return ExpertShape(
        count=count,
        # Unknown: all of them, an upper bound.
        used_count=number(facts, "expert_used_count") or count,
        shared_count=number(facts, "expert_shared_count"),
        feed_forward_length=number(facts, "expert_feed_forward_length"),
        shared_feed_forward_length=number(facts, "expert_shared_feed_forward_length"),
    )


# Architectures of the first Mamba do not read ssm.group_count even where the header has it.
UNGROUPED = ("ssm1",)


def state_shape(rules: Architecture, facts: Mapping[str, Any], head_count: int) -> StateShape:
    """The row sizes of n_embd_r and n_embd_s (src/llama-hparams.cpp)."""
    kind = rules.state or ""
    kernel, inner = number(facts, "ssm.conv_kernel"), number(facts, "ssm.inner_size")
    size = number(facts, "ssm.state_size")
    groups = 0 if kind in UNGROUPED else number(facts, "ssm.group_count")
    head_length = _state_head_length(kind, facts, head_count)
    rolling, state = max(kernel - 1, 0) * (inner + 2 * groups * size), size * inner
    embedding = int(facts["embedding_length"])
    if kind == "rwkv":
        rolling, state = number(facts, "token_shift_count", 2) * embedding, embedding * head_length
    elif kind == "short_conv":
        rolling, state = embedding * max(number(facts, "shortconv.l_cache") - 1, 0), 0
    elif kind == "kda":
        rolling, state = 3 * (kernel - 1 if kernel else 3) * head_count * head_length, head_length**2 * head_count
    elif kind == "lightning":
        rolling, state = 0, head_length**2 * head_count
    return StateShape(kind, kernel, inner, size, groups, number(facts, "ssm.time_step_rank"), head_length, rolling, state)


def _state_head_length(kind: str, facts: Mapping[str, Any], head_count: int) -> int:
    if kind == "rwkv":
        return number(facts, "wkv.head_size")
    if kind == "kda":
        return number(facts, "kda.head_dim")
    if kind == "lightning":
        return number(facts, "attention.key_length") or int(facts["embedding_length"]) // max(head_count, 1)
    return 0
