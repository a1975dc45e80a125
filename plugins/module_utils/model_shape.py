"""The shape of a model, layer by layer: everything about it that decides the memory of a loaded copy.

Source of the rules: load_hparams of src/llama-model.cpp and load_arch_hparams of src/models/*.cpp, llama.cpp b10488; the
table of what differs by architecture is `architectures`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Collection, Iterable, Mapping, Union

from .architectures import ARCHITECTURES, NEXTN_NETWORK_LOADED, Architecture
from .gguf_types import Tensor
from .layer_rules import LayerFacts, layer_facts
from .metadata_sizes import LARGEST_SIZE, odd_sizes
from .model_facts import (
    CompressedAttention,
    ExpertShape,
    StateShape,
    compressed_attention,
    expert_shape,
    item_count,
    number,
    state_shape,
)
from .model_names import normalised
from .tensor_summary import NamedTensor, TensorSummary, from_totals, summarise

# src/llama-hparams.h, LLAMA_MAX_LAYERS: a header that says more is refused there too.
MAX_LAYERS = 512
F32_BYTES = 4
# Stands in for a vocabulary of unknown size: gemma3n's, the largest of widely used models.
LARGEST_VOCABULARY = 262_400


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

    def __hash__(self) -> int:
        # Predictions are cached by shape; hashing every layer each time would cost more than the arithmetic.
        return hash((self.architecture, self.embedding_length, self.vocabulary_size, len(self.layers)))

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


Tensors = Union[None, TensorSummary, Mapping[str, Any], Iterable[Union[NamedTensor, Tensor]]]


def describe(metadata: Mapping[str, Any], tensors: Tensors = None) -> ModelShape:
    """The shape of a model from its GGUF metadata and its tensors.

    ``metadata`` as in the file, in Ollama's or llama.cpp's spelling. ``tensors``: a TensorSummary, the tensors of a header or
    ``(name, shape innermost first, type id)`` of each, totals by role (see ``tensor_summary.from_totals``), or None where only
    the metadata is known: then weights cannot be predicted, everything else can.
    Raises MemoryShapeError where a key that every prediction needs is missing or absurd.
    """
    listed = None if tensors is None or isinstance(tensors, (TensorSummary, Mapping)) else [_named(item) for item in tensors]
    names: Collection[str] = {name for name, _shape, _type in listed} if listed else ()
    facts = normalised(metadata, names)
    architecture = str(facts["general.architecture"])
    if not architecture:
        raise MemoryShapeError("the header has no general.architecture")
    rules = ARCHITECTURES.get(architecture)
    odd = odd_sizes(facts)
    if odd:
        raise MemoryShapeError(f"the header of this {architecture} model has {odd[0]}")
    _check_needed(architecture, facts, rules)
    chosen = rules or upper_bound_rules(facts)
    found = layer_facts(architecture, chosen, facts, names)
    summary = _summary(tensors, listed, found, chosen, facts)
    return _shape(architecture, chosen, rules is not None, facts, found, summary, _vocabulary_size(facts, listed))


def _named(tensor: NamedTensor | Tensor) -> NamedTensor:
    return (tensor.name, tensor.shape, tensor.type_id) if isinstance(tensor, Tensor) else tensor


def upper_bound_rules(facts: Mapping[str, Any]) -> Architecture:
    """For an architecture that nobody knows: every layer caches the whole context, and keeps a state where the header has one."""
    states = {"ssm.inner_size": "ssm2", "wkv.head_size": "rwkv", "shortconv.l_cache": "short_conv", "kda.head_dim": "kda"}
    for key, state in states.items():
        if facts.get(key):
            return Architecture("hybrid", state, "both")
    return Architecture()


def _summary(
    tensors: Tensors, listed: list[NamedTensor] | None, found: LayerFacts, rules: Architecture, facts: Mapping[str, Any]
) -> TensorSummary | None:
    if isinstance(tensors, TensorSummary):
        return tensors
    if isinstance(tensors, Mapping):
        loaded = _nextn_loaded_share(facts, found) if rules.nextn_loaded == NEXTN_NETWORK_LOADED else 0.0
        return from_totals(tensors, _position_bytes(facts), loaded)
    if listed is None:
        return None
    return summarise(listed, found.stored_layers, found.stored_nextn_layers, rules.nextn_loaded)


# Architectures with a table of positions (LLM_TENSOR_POS_EMBD in src/models/*.cpp); it is stored as F32.
POSITIONED = frozenset({"bert", "gpt2", "starcoder"})


def _position_bytes(facts: Mapping[str, Any]) -> int:
    if facts["general.architecture"] not in POSITIONED:
        return 0
    rows = number(facts, "context_length") + number(facts, "tokenizer.ggml.token_type_count")
    return rows * int(facts["embedding_length"]) * F32_BYTES


def _nextn_loaded_share(facts: Mapping[str, Any], found: LayerFacts) -> float:
    """The feed-forward part of a block that predicts further tokens, by elements: it is loaded, attention is not."""
    width = int(facts["embedding_length"])
    heads, kv_heads = found.head_count[-1], found.head_count_kv[-1]
    attention = width * (heads + kv_heads) * (found.key_length[-1] + found.value_length[-1]) + 2 * width * width
    experts = number(facts, "expert_count") * number(facts, "expert_feed_forward_length")
    network = 3 * width * (experts + number(facts, "expert_shared_feed_forward_length"))
    return network / (network + attention) if network else 0.0


def _check_needed(architecture: str, facts: Mapping[str, Any], rules: Architecture | None) -> None:
    needed = ["block_count", "embedding_length"]
    if rules is None or rules.memory != "recurrent":
        needed.append("attention.head_count")
    missing = [key for key in needed if facts.get(key) is None]
    if missing:
        raise MemoryShapeError(f"the header of this {architecture} model lacks {', '.join(missing)}")
    for key in ("block_count", "embedding_length"):
        if not facts[key] or (key == "block_count" and facts[key] > MAX_LAYERS):
            limit = MAX_LAYERS if key == "block_count" else LARGEST_SIZE
            raise MemoryShapeError(f"the header of this {architecture} model has {key} {facts[key]}, expected 1 to {limit}")


def _vocabulary_size(facts: Mapping[str, Any], listed: list[NamedTensor] | None) -> int:
    """Rows of the token embedding; llama.cpp refuses a file where the tokenizer has another number of tokens."""
    for name, shape, _type in listed or ():
        if name == "token_embd.weight" and len(shape) > 1:
            return int(shape[1])
    said = facts.get("vocab_size")
    if said:
        return int(said)
    return item_count(facts.get("tokenizer.ggml.tokens")) or 0


def _shape(
    architecture: str,
    rules: Architecture,
    known: bool,
    facts: Mapping[str, Any],
    found: LayerFacts,
    tensors: TensorSummary | None,
    vocabulary_size: int,
) -> ModelShape:
    mla = compressed_attention(facts) if rules.mla else None
    state = state_shape(rules, facts, found.head_count[0]) if any(found.recurrent) else None
    missing = [] if vocabulary_size else ["the size of the vocabulary"]
    missing += ["how large the state of recurrent layers is"] if state and not state.elements else []
    missing += ["how many experts are used at once"] if facts.get("expert_count") and not facts.get("expert_used_count") else []
    return ModelShape(
        architecture=architecture,
        known=known,
        family=_family(rules, mla, found.window_tokens),
        rules=rules,
        vocabulary_size=vocabulary_size or LARGEST_VOCABULARY,
        embedding_length=int(facts["embedding_length"]),
        context_length=_optional(facts.get("context_length")),
        layers=_layers(found, tensors),
        nextn_layers=found.nextn_layers,
        window_tokens=found.window_tokens,
        window_kind=rules.window.kind if rules.window and found.window_tokens else None,
        mla=mla,
        experts=expert_shape(facts),
        state=state,
        tied_output=tensors.tied_output if tensors else False,
        per_layer_embedding_length=number(facts, "embedding_length_per_layer_input"),
        indexer_length=number(facts, "attention.indexer.key_length"),
        pooling_type=_optional(facts.get("pooling_type")),
        causal=bool(facts.get("attention.causal", rules.causal)),
        tensors=tensors,
        assumptions=(*found.assumptions, *missing),
        facts=tuple(sorted((key, _hashable(value)) for key, value in facts.items() if _is_kept(key))),
    )


def _is_kept(key: str) -> bool:
    """Of the tokenizer only its kind, which decides the engine of an Ollama before v0.30."""
    return not key.startswith("tokenizer.") or key == "tokenizer.ggml.pre"


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
