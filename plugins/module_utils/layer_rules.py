"""Which layers attend, slide, recur and own a cache, from a model's metadata and the rules of its architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Collection, Dict, List, Mapping, Sequence

from .architectures import Architecture, Window

# src/models/glm-dsa.cpp, GLM_5_2_DEFAULT_INDEXER_TYPES: from this context on, the first two layers and each fourth after
# them have an indexer of their own.
SHARED_INDEXER_CONTEXT = 1_048_576


Columns = Dict[str, List[Any]]


@dataclass(frozen=True)
class LayerFacts:
    """One value per layer, in order. ``stored_layers`` are in the file (a looped model runs them more than once), the last
    ``stored_nextn_layers`` of them only predict further tokens.
    """

    head_count: tuple[int, ...]
    head_count_kv: tuple[int, ...]
    key_length: tuple[int, ...]
    value_length: tuple[int, ...]
    feed_forward_length: tuple[int, ...]
    attention: tuple[bool, ...]
    recurrent: tuple[bool, ...]
    sliding: tuple[bool, ...]
    owns_cache: tuple[bool, ...]
    indexer: tuple[bool, ...]
    experts: tuple[bool, ...]
    compress_ratio: tuple[int, ...]
    window_tokens: int
    nextn_layers: int
    stored_layers: int
    stored_nextn_layers: int
    assumptions: tuple[str, ...]


def layer_facts(name: str, rules: Architecture, facts: Mapping[str, Any], tensor_names: Collection[str]) -> LayerFacts:
    """The facts of all layers. ``facts``: normalised metadata with ``block_count`` checked to be an integer above 0."""
    count = int(facts["block_count"])
    assumptions: list[str] = []
    nextn = nextn_layers(name, rules, facts, tensor_names)
    main = count - nextn
    heads = per_layer(facts, "attention.head_count", count, 0, assumptions)
    kv_heads = per_layer(facts, "attention.head_count_kv", count, heads, assumptions)
    feed = per_layer(facts, "feed_forward_length", count, 0, assumptions)
    window = window_tokens(rules.window, facts, main)
    sliding = sliding_layers(rules.window, facts, count, main, window, assumptions)
    recurrent = recurrent_layers(rules, facts, kv_heads, feed, main, assumptions)
    if rules.window and rules.window.attention_layers_only:
        sliding = [slides and not recurs for slides, recurs in zip(sliding, recurrent)]
    owns = cached_layers(rules, facts, recurrent, feed, main)
    lengths = [head_lengths(facts, heads[0] if heads else 0, slides) for slides in sliding]
    columns: Columns = {
        "head_count": heads,
        "head_count_kv": kv_heads,
        "key_length": [key for key, _value in lengths],
        "value_length": [value for _key, value in lengths],
        "feed_forward_length": feed,
        "attention": attending_layers(rules, recurrent, kv_heads, main),
        "recurrent": recurrent,
        "sliding": sliding,
        "owns_cache": owns,
        "indexer": indexer_layers(name, rules, facts, count, main),
        "experts": expert_layers(name, facts, kv_heads, feed),
        "compress_ratio": per_layer(facts, "attention.compress_ratios", count, 0, assumptions),
    }
    columns, extra = repeated(columns, rules, facts)
    return LayerFacts(
        **{key: tuple(values) for key, values in columns.items()},
        window_tokens=window if any(sliding) else 0,
        nextn_layers=nextn + extra,
        stored_layers=count,
        stored_nextn_layers=nextn,
        assumptions=tuple(assumptions),
    )


def per_layer(facts: Mapping[str, Any], key: str, count: int, default: Any, assumptions: list[str]) -> list[int]:
    """One integer per layer: a scalar is repeated, an array taken as it is; what is missing is the default or the largest."""
    value = facts.get(key)
    if value is None:
        if key in facts:
            assumptions.append(f"{key} (the list was not kept)")
        return [int(item) for item in default] if isinstance(default, list) else [int(default)] * count
    if not isinstance(value, (list, tuple)):
        return [int(value)] * count
    items = [int(item) for item in value[:count]]
    if len(items) < count:
        assumptions.append(f"{key} (it has {len(items)} entries for {count} layers)")
    return items + [max(items, default=0)] * (count - len(items))


def nextn_layers(name: str, rules: Architecture, facts: Mapping[str, Any], tensor_names: Collection[str]) -> int:
    """Blocks that only predict further tokens, where the architecture reads that key."""
    said = int(facts.get("nextn_predict_layers") or 0) if rules.nextn else 0
    count = int(facts["block_count"])
    if name == "deepseek4" and tensor_names and f"blk.{count - said}.nextn.eh_proj.weight" not in tensor_names:
        return 0
    return said if said < count else 0


# load_arch_hparams of src/models/plamo2.cpp reads the lengths again: its first layer has no heads, which makes them 0 elsewhere.
LENGTHS_WITHOUT_HEADS = frozenset({"plamo2"})


def head_lengths(facts: Mapping[str, Any], head_count: int, sliding: bool) -> tuple[int, int]:
    """Elements of one head's key and value; layers that slide may have lengths of their own."""
    width = int(facts["embedding_length"]) // head_count if head_count else 0
    read = bool(head_count) or facts["general.architecture"] in LENGTHS_WITHOUT_HEADS
    lengths = []
    for key in ("attention.key_length", "attention.value_length"):
        length = facts.get(key)
        if sliding and facts.get(f"{key}_swa") is not None:
            length = facts[f"{key}_swa"]
        lengths.append(int(length) if length is not None and read else width)
    return lengths[0], lengths[1]


def window_tokens(window: Window | None, facts: Mapping[str, Any], main_layers: int) -> int:
    """The sliding window in tokens, 0 where there is none."""
    if window is None or (window.only_block_count and window.only_block_count != main_layers):
        return 0
    said = facts.get("attention.sliding_window")
    if said is None:
        said = facts.get("attention.chunk_size") if window.fixed_tokens and window.default_tokens else None
    if said is not None and not int(said):
        return 0
    if said is None:
        return window.default_tokens or 0
    return window.fixed_tokens or int(said)


def sliding_layers(
    window: Window | None, facts: Mapping[str, Any], count: int, main: int, tokens: int, assumptions: list[str]
) -> list[bool]:
    """Which layers slide: set_swa_pattern of src/llama-hparams.cpp, or the header's own list."""
    if window is None or not tokens:
        return [False] * count
    pattern = facts.get("attention.sliding_window_pattern")
    listed = isinstance(pattern, (list, tuple))
    if window.array_only or (window.from_array and listed):
        if pattern is None:
            assumptions.append("attention.sliding_window_pattern")
            return [False] * count
        items = pattern if listed else [pattern] * main
        return [index < len(items) and bool(items[index]) for index in range(count)]
    period = window.period if pattern is None or listed else int(pattern)
    last = count if window.covers_nextn else main
    return [index < last and _slides(index, period, window.dense_first) for index in range(count)]


def _slides(index: int, period: int, dense_first: bool) -> bool:
    if period == 0:
        return True
    return index % period != 0 if dense_first else index % period < period - 1


def recurrent_layers(
    rules: Architecture,
    facts: Mapping[str, Any],
    kv_heads: Sequence[int],
    feed: Sequence[int],
    main: int,
    assumptions: list[str],
) -> list[bool]:
    """Which layers keep a recurrent state."""
    count = len(kv_heads)
    if rules.recurrent_layers in ("all", "both"):
        return [index < main for index in range(count)]
    if rules.recurrent_layers == "zero_kv":
        return [index < main and kv_heads[index] == 0 for index in range(count)]
    if rules.recurrent_layers == "zero_kv_and_ff":
        return [index < main and kv_heads[index] == 0 and feed[index] == 0 for index in range(count)]
    if rules.recurrent_layers == "interval":
        if facts.get("attention.recurrent_layers") is not None:
            return [bool(item) for item in per_layer(facts, "attention.recurrent_layers", count, 0, assumptions)]
        interval = int(facts.get("full_attention_interval") or rules.attention_interval)
        return [index < main and (index + 1) % interval != 0 for index in range(count)]
    return [False] * count


def cached_layers(
    rules: Architecture, facts: Mapping[str, Any], recurrent: Sequence[bool], feed: Sequence[int], main: int
) -> list[bool]:
    """Which layers get keys and values of their own: the filters of create_memory (src/llama-model.cpp)."""
    count = len(recurrent)
    if rules.memory in ("none", "recurrent"):
        return [False] * count
    last = count if rules.nextn_cached else main
    first = rules.first_cached_layers
    if rules.shared_kv_key:
        first = count - int(facts.get("attention.shared_kv_layers") or 0)
    if first is not None:
        last = min(last, first)
    if rules.memory != "hybrid" or rules.recurrent_layers == "both":
        return [index < last for index in range(count)]
    idle = rules.recurrent_layers == "zero_kv_and_ff"
    return [index < last and not recurrent[index] and not (idle and feed[index]) for index in range(count)]


def attending_layers(rules: Architecture, recurrent: Sequence[bool], kv_heads: Sequence[int], main: int) -> list[bool]:
    """Which layers of the graph attend; a block of only a feed-forward network has neither heads nor a state."""
    both = rules.recurrent_layers == "both"
    bare = rules.memory in ("hybrid", "recurrent")
    return [
        index < main and (both or not recurrent[index]) and not (bare and kv_heads[index] == 0) for index in range(len(recurrent))
    ]


def indexer_layers(name: str, rules: Architecture, facts: Mapping[str, Any], count: int, main: int) -> list[bool]:
    """Which layers have a cache for an indexer's keys (sparse attention)."""
    if rules.memory == "msa":
        lead = int(facts.get("leading_dense_block_count") or 0)
        return [index >= lead for index in range(count)]
    if rules.memory != "dsa":
        return [False] * count
    if name != "glm-dsa":
        return [index < main for index in range(count)]
    types = facts.get("attention.indexer.types")
    if isinstance(types, (list, tuple)):
        return [index < main and index < len(types) and bool(types[index]) for index in range(count)]
    if types is not None:
        return [index < main and bool(types) for index in range(count)]
    shared = int(facts.get("context_length") or 0) >= SHARED_INDEXER_CONTEXT
    return [index < main and (not shared or index < 2 or (index - 2) % 4 == 0) for index in range(count)]


def expert_layers(name: str, facts: Mapping[str, Any], kv_heads: Sequence[int], feed: Sequence[int]) -> list[bool]:
    """Which layers are mixtures of experts, by rule; the tensors of a header decide where they are known."""
    count = len(kv_heads)
    if not int(facts.get("expert_count") or 0):
        return [False] * count
    lead = int(facts.get("leading_dense_block_count") or 0)
    step = int(facts.get("interleave_moe_layer_step") or 0)
    every = int(facts.get("moe_every_n_layers") or 0)
    if name.startswith("nemotron_h"):
        return [kv_heads[index] == 0 and feed[index] > 0 for index in range(count)]
    if step:
        return [index >= lead and (index + 1) % step == 0 for index in range(count)]
    if every:
        return [index % every == 1 for index in range(count)]
    return [index >= lead for index in range(count)]


def repeated(columns: Columns, rules: Architecture, facts: Mapping[str, Any]) -> tuple[Columns, int]:
    """The columns of architectures whose logical layers are more than the stored ones, and how many of them are no blocks."""
    if rules.loops:
        loops = max(int(facts.get("num_loops") or 1), 1)
        return {key: list(values) * loops for key, values in columns.items()}, 0
    if not rules.router_layer:
        return columns, 0
    # models/granite-switch.cpp: one more layer with a single head holds what the router remembers.
    router = {"head_count": 1, "head_count_kv": 1, "owns_cache": True}
    router["key_length"], router["value_length"] = columns["key_length"][0], columns["value_length"][0]
    return {key: [*values, router.get(key, type(values[0])())] for key, values in columns.items()}, 1
