"""The shape of a model, layer by layer: everything about it that decides the memory of a loaded copy.

Source of the rules: load_hparams of src/llama-model.cpp and load_arch_hparams of src/models/*.cpp, llama.cpp b10488; the
table of what differs by architecture is `architectures`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Collection, Iterable, Mapping, Union

from .architectures import ARCHITECTURES, Architecture
from .layer_rules import LayerFacts, layer_facts
from .model_names import normalised
from .tensor_summary import TensorSummary, TokenTensor, from_totals, summarise

# src/llama-hparams.h, LLAMA_MAX_LAYERS: a header that says more is refused there too.
MAX_LAYERS = 512


class MemoryShapeError(ValueError):
    """The metadata lacks what the memory of the model is computed from."""


@dataclass(frozen=True)
class LayerShape:
    """One block. Lengths are elements per head; ``nextn`` blocks are in the file, their weights are not loaded."""

    index: int
    attention: bool
    recurrent: bool
    owns_cache: bool
    indexer: bool
    sliding: bool
    nextn: bool
    experts: bool
    head_count: int
    head_count_kv: int
    key_length: int
    value_length: int
    feed_forward_length: int
    compress_ratio: int


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


@dataclass(frozen=True)
class ModelShape:
    """A model as llama.cpp sees it.

    ``known`` False: the architecture is not in the table and every layer is taken to cache everything, an upper bound.
    ``assumptions`` names what the header should say and does not; then too the prediction is a bound, not exact.
    ``window_tokens`` and ``window_kind`` (standard, chunked, symmetric) hold for the layers that are ``sliding``.
    ``facts`` is the whole normalised metadata without the architecture's prefix, as sorted pairs; read it with ``fact``.
    """

    architecture: str
    known: bool
    family: str
    rules: Architecture
    vocabulary_size: int
    embedding_length: int
    context_length: int | None
    layers: tuple[LayerShape, ...]
    nextn_layers: int
    window_tokens: int
    window_kind: str | None
    mla: CompressedAttention | None
    experts: ExpertShape | None
    state: StateShape | None
    tied_output: bool
    per_layer_embedding_length: int
    indexer_length: int
    pooling_type: int | None
    causal: bool
    tensors: TensorSummary | None
    assumptions: tuple[str, ...]
    facts: tuple[tuple[str, Any], ...]

    def fact(self, key: str, default: Any = None) -> Any:
        """A value of the normalised metadata, key without the architecture's prefix (``rope.dimension_count``)."""
        for name, value in self.facts:
            if name == key:
                return value
        return default

    @property
    def block_count(self) -> int:
        """Blocks that the graph runs: without those that only predict further tokens."""
        return len(self.layers) - self.nextn_layers

    @property
    def encoder(self) -> bool:
        """Whether the model keeps no memory between calls at all."""
        return self.rules.memory == "none"


Tensors = Union[None, TensorSummary, Mapping[str, Any], Iterable[TokenTensor]]


def describe(metadata: Mapping[str, Any], tensors: Tensors = None) -> ModelShape:
    """The shape of a model from its GGUF metadata and its tensors.

    ``metadata`` as in the file, in Ollama's or llama.cpp's spelling. ``tensors``: a TensorSummary, the tensors as
    ``(name, shape innermost first, type id)``, totals by role (see ``tensor_summary.from_totals``), or None where only the
    metadata is known: then weights cannot be predicted, everything else can.
    Raises MemoryShapeError where a key that every prediction needs is missing or absurd.
    """
    listed = None if tensors is None or isinstance(tensors, (TensorSummary, Mapping)) else list(tensors)
    names: Collection[str] = {name for name, _shape, _type in listed} if listed else ()
    facts = normalised(metadata, names)
    architecture = str(facts["general.architecture"])
    if not architecture:
        raise MemoryShapeError("the header has no general.architecture")
    rules = ARCHITECTURES.get(architecture)
    _check_needed(architecture, facts, rules)
    chosen = rules or upper_bound_rules(facts)
    found = layer_facts(architecture, chosen, facts, names)
    summary = _summary(tensors, listed, found)
    return _shape(architecture, chosen, rules is not None, facts, found, summary, _vocabulary_size(facts, listed))


def upper_bound_rules(facts: Mapping[str, Any]) -> Architecture:
    """For an architecture that nobody knows: every layer caches the whole context, and keeps a state where the header has one."""
    states = {"ssm.inner_size": "ssm2", "wkv.head_size": "rwkv", "shortconv.l_cache": "short_conv", "kda.head_dim": "kda"}
    for key, state in states.items():
        if facts.get(key):
            return Architecture("hybrid", state, "both")
    return Architecture()


def _summary(tensors: Tensors, listed: list[TokenTensor] | None, found: LayerFacts) -> TensorSummary | None:
    if isinstance(tensors, TensorSummary):
        return tensors
    if isinstance(tensors, Mapping):
        return from_totals(tensors)
    return None if listed is None else summarise(listed, found.stored_layers, found.nextn_layers)


def _check_needed(architecture: str, facts: Mapping[str, Any], rules: Architecture | None) -> None:
    needed = ["block_count", "embedding_length"]
    if rules is None or rules.memory not in ("recurrent",):
        needed.append("attention.head_count")
    missing = [key for key in needed if facts.get(key) is None]
    if missing:
        raise MemoryShapeError(f"the header of this {architecture} model lacks {', '.join(missing)}")
    blocks = facts["block_count"]
    if not isinstance(blocks, int) or not 0 < blocks <= MAX_LAYERS:
        raise MemoryShapeError(f"the header of this {architecture} model says {blocks} blocks, expected 1 to {MAX_LAYERS}")


def _vocabulary_size(facts: Mapping[str, Any], listed: list[TokenTensor] | None) -> int:
    """Rows of the token embedding; llama.cpp refuses a file where the tokenizer has another number of tokens."""
    for name, shape, _type in listed or ():
        if name == "token_embd.weight" and len(shape) > 1:
            return int(shape[1])
    said = facts.get("vocab_size")
    if said:
        return int(said)
    tokens = facts.get("tokenizer.ggml.tokens")
    return len(tokens) if isinstance(tokens, (list, tuple)) else 0


def _shape(
    architecture: str,
    rules: Architecture,
    known: bool,
    facts: Mapping[str, Any],
    found: LayerFacts,
    tensors: TensorSummary | None,
    vocabulary_size: int,
) -> ModelShape:
    mla = _compressed_attention(facts) if rules.mla else None
    state = _state(rules, facts, found.head_count[0]) if any(found.recurrent) else None
    missing = () if vocabulary_size else ("the size of the vocabulary",)
    return ModelShape(
        architecture=architecture,
        known=known,
        family=_family(rules, mla, found.window_tokens),
        rules=rules,
        vocabulary_size=vocabulary_size,
        embedding_length=int(facts["embedding_length"]),
        context_length=_optional(facts.get("context_length")),
        layers=_layers(found, tensors),
        nextn_layers=found.nextn_layers,
        window_tokens=found.window_tokens,
        window_kind=rules.window.kind if rules.window and found.window_tokens else None,
        mla=mla,
        experts=_experts(facts),
        state=state,
        tied_output=tensors.tied_output if tensors else False,
        per_layer_embedding_length=number(facts, "embedding_length_per_layer_input"),
        indexer_length=number(facts, "attention.indexer.key_length"),
        pooling_type=_optional(facts.get("pooling_type")),
        causal=bool(facts.get("attention.causal", rules.causal)),
        tensors=tensors,
        assumptions=(*found.assumptions, *missing),
        facts=tuple(sorted((key, _hashable(value)) for key, value in facts.items() if not key.startswith("tokenizer."))),
    )


def number(facts: Mapping[str, Any], key: str, default: int = 0) -> int:
    """An integer of the metadata, or the default where it is absent."""
    value = facts.get(key)
    return default if value is None else int(value)


def _optional(value: Any) -> int | None:
    return None if value is None else int(value)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _layers(found: LayerFacts, tensors: TensorSummary | None) -> tuple[LayerShape, ...]:
    listed = tensors.expert_layers if tensors and tensors.expert_layers else found.experts
    experts = [*listed, *[False] * len(found.head_count)]
    return tuple(
        LayerShape(
            index=index,
            attention=found.attention[index],
            recurrent=found.recurrent[index],
            owns_cache=found.owns_cache[index],
            indexer=found.indexer[index],
            sliding=found.sliding[index],
            nextn=index >= len(found.head_count) - found.nextn_layers,
            experts=experts[index],
            head_count=found.head_count[index],
            head_count_kv=found.head_count_kv[index],
            key_length=found.key_length[index],
            value_length=found.value_length[index],
            feed_forward_length=found.feed_forward_length[index],
            compress_ratio=found.compress_ratio[index],
        )
        for index in range(len(found.head_count))
    )


def _family(rules: Architecture, mla: CompressedAttention | None, window_tokens: int) -> str:
    if rules.memory in ("none", "recurrent", "hybrid"):
        return {"none": "encoder"}.get(rules.memory, rules.memory)
    if mla:
        return "compressed"
    return "sliding" if window_tokens else "dense"


def _compressed_attention(facts: Mapping[str, Any]) -> CompressedAttention | None:
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


def _experts(facts: Mapping[str, Any]) -> ExpertShape | None:
    count = number(facts, "expert_count")
    if not count:
        return None
    return ExpertShape(
        count=count,
        used_count=number(facts, "expert_used_count"),
        shared_count=number(facts, "expert_shared_count"),
        feed_forward_length=number(facts, "expert_feed_forward_length"),
        shared_feed_forward_length=number(facts, "expert_shared_feed_forward_length"),
    )


# Architectures of the first Mamba do not read ssm.group_count even where the header has it.
UNGROUPED = ("ssm1",)


def _state(rules: Architecture, facts: Mapping[str, Any], head_count: int) -> StateShape:
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
