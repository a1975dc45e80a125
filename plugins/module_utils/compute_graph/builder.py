"""What every builder of a graph needs: the sizes of the worst case, the inputs, norms, weights and the output layer.

Source: src/llama-graph.cpp of llama.cpp b10488 (build_inp_*, build_norm, build_lora_mm, build_pooling, build_dense_out) and
sched_reserve of src/llama-context.cpp (what the worst case is).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..model_facts import ExpertShape, StateShape
from ..model_shape import LayerShape, MemoryShapeError, ModelShape
from .tensors import (
    F32,
    GET_ROWS,
    I32,
    OTHER,
    Graph,
    Tensor,
    input_tensor,
    like,
    linear,
    made,
    outside,
    over,
    product,
    rows_of,
    view,
)

RMS, LAYER = "rms", "layer"

# enum llama_pooling_type of include/llama.h.
POOLING_NONE, POOLING_MEAN, POOLING_CLS, POOLING_LAST, POOLING_RANK = range(5)

# llama_model_rope_type of src/llama-model.cpp: rotations in several dimensions, always or where the header has the sections.
SECTIONED = frozenset({"qwen2vl", "paddleocr", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen3tts"})
OPTIONAL_SECTIONS = frozenset({"glm4", "glm4moe", "hunyuan_vl"})

# llama_init_from_model of src/llama-context.cpp turns flash attention off for these, whatever was asked for.
NEVER_FLASH = frozenset({"grok"})
# llama_model_has_encoder of src/llama-model.cpp: a context of these may output every token (llama_context's constructor).
WITH_ENCODER = frozenset({"t5", "t5encoder"})


@dataclass(frozen=True)
class Plan:
    """The worst case that buffers are reserved for.

    ``tokens`` of one micro-batch, in ``sequences``; ``outputs`` rows reach the output layer. ``streams``: separate caches.
    ``context_cells`` and ``window_cells`` per stream. Homes are backend numbers (devices first, the CPU last): of each layer,
    and of the output layer. ``device_kind``: what the devices are programmed with; it decides what they cannot compute.
    ``values_by_row``: the cache was made for flash attention, which then turned out to have no kernel.
    """

    tokens: int
    sequences: int
    outputs: int
    streams: int
    context_cells: int
    window_cells: int
    flash: bool
    kv_type_k: str
    kv_type_v: str
    embedding: bool
    homes: tuple[int, ...]
    output_home: int
    devices: int
    device_kind: str
    kv_offload: bool
    full_offload: bool
    values_by_row: bool = False


class Builder:
    """Builds one graph: holds what the layers share. ``layer`` and ``home`` are those of the layer being built."""

    def __init__(self, shape: ModelShape, plan: Plan) -> None:
        self.shape = shape
        self.plan = replace(plan, flash=False) if shape.architecture in NEVER_FLASH else plan
        self.graph = Graph()
        self.tokens = plan.tokens
        self.width = shape.embedding_length
        self.layer: LayerShape = shape.layers[0]
        self.home = plan.devices
        self.inputs: dict[str, Tensor] = {}
        self.weights: dict[int, Tensor] = {}
        self.caches: dict[int, Tensor] = {}
        self.last = False
        self.embedded: Tensor | None = None
        self.names = shape.tensors.names if shape.tensors else None
        self.facts = dict(shape.facts)

    @property
    def experts(self) -> ExpertShape:
        """The mixture of experts that the graph needs. Raises MemoryShapeError where the header has none."""
        if self.shape.experts is None:
            raise MemoryShapeError(f"the header of this {self.shape.architecture} model has no expert_count, which it needs")
        return self.shape.experts

    @property
    def state(self) -> StateShape:
        """The state of the recurrent layers. Raises MemoryShapeError where the header has none."""
        if self.shape.state is None:
            raise MemoryShapeError(f"the header of this {self.shape.architecture} model has no recurrent layers, which it needs")
        return self.shape.state

    def fact(self, key: str, default: Any = None) -> Any:
        """A value of the metadata, without the architecture's prefix."""
        return self.facts.get(key, default)

    def has(self, name: str, default: bool = False) -> bool:
        """Whether the file has a tensor (name without the block's number); where no list is known, what is usual."""
        return default if self.names is None else name in self.names

    def enter(self, layer: LayerShape, last: bool) -> None:
        """Begin a layer."""
        self.layer, self.last = layer, last
        self.home = self.plan.homes[layer.index]

    def leave(self) -> None:
        """Go on with the output layer."""
        self.home = self.plan.output_home

    @property
    def weight(self) -> Tensor:
        """Some weight of the current layer."""
        if self.home not in self.weights:
            self.weights[self.home] = outside(self.home)
        return self.weights[self.home]

    @property
    def cache(self) -> Tensor:
        """A cache of the current layer."""
        home = self.home if self.plan.kv_offload else self.plan.devices
        if home not in self.caches:
            self.caches[home] = outside(home, weight=False)
        return self.caches[home]

    def input(self, name: str, ne: tuple[int, int, int, int], dtype: int = F32) -> Tensor:
        """An input of the graph, the same one whoever asks."""
        if name not in self.inputs:
            self.inputs[name] = input_tensor(ne, dtype)
        return self.inputs[name]

    def embed(self, width: int = 0) -> Tensor:
        """The embedded tokens; an input for embeddings made elsewhere (images) is kept beside them."""
        width = width or self.width
        tokens = self.input("tokens", (self.tokens, 1, 1, 1), I32)
        table = outside(self.plan.devices)
        result = made(GET_ROWS, (self.width, self.tokens, 1, 1), (table, tokens))
        if width != self.width:
            result = made(OTHER, (width, self.tokens, 1, 1), (result,))
        self.graph.expand(result)
        self.graph.expand(self.input("embeddings", (width, self.tokens, 1, 1)))
        self.embedded = result
        if width != self.width:
            result = view(result, (self.width, self.tokens, 1, 1))
        if self.fact("embedding_scale"):
            result = over(result)
            self.graph.expand(result)
        return result

    def positions(self) -> Tensor:
        """The positions of the tokens; four numbers each where there are several dimensions of them."""
        each = self.shape_positions()
        return self.input("positions", (self.tokens * each, 1, 1, 1), I32)

    def rope_factors(self) -> tuple[Tensor, ...]:
        """The weight that stretches rotations (Llama 3, Phi 3), where the file has one."""
        return (self.weight,) if self.has("rope_freqs.weight") or self.has("rope_factors_long.weight") else ()

    def shape_positions(self) -> int:
        """Numbers per position (n_pos_per_embd of src/llama-hparams.cpp): four where images have two dimensions and a time."""
        sections = self.fact("rope.dimension_sections")
        optional = self.shape.architecture in OPTIONAL_SECTIONS and sections and sections[0] and sections[1]
        return 4 if self.shape.architecture in SECTIONED or optional else 1

    def norm(self, value: Tensor, kind: str = RMS, bias: bool = False, weight: bool = True, layer: bool = True) -> Tensor:
        """A norm with its weight and bias; where all layers are on devices, their norms stay with them (graph_get_cb)."""
        result = over(value) if kind == RMS else like(value)
        if layer and weight and (self.plan.full_offload or self.tokens < 32):
            result.pinned = self.home
        if weight:
            result = over(result, self.weight)
        return over(result, self.weight) if bias else result

    def linear(self, value: Tensor, width: int, bias: bool = False) -> Tensor:
        """A matrix of weights times the value."""
        result = linear(self.weight, value, width)
        return over(result, self.weight) if bias else result

    def chosen(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Only the rows that are output, in the last layer; elsewhere the values as they are."""
        if not self.last:
            return values
        rows = self.input("output_rows", (self.plan.outputs, 1, 1, 1), I32)
        return tuple(rows_of(value, rows) for value in values)

    def finish(self, value: Tensor, kind: str = RMS, bias: bool = False, **output: bool) -> None:
        """The norm and the matrix of the output layer, the logits, and what embedding models add."""
        self.leave()
        result = self.norm(value, kind, bias, layer=False)
        self.output(result, **output)

    def output(
        self,
        result: Tensor,
        scale: bool = False,
        soft_cap: bool = False,
        bias: bool = False,
        logits: bool = True,
        early_scale: bool = False,
    ) -> None:
        """The logits of a normed value."""
        result.output = True
        if logits:
            value = self.linear(over(result) if early_scale else result, self.shape.vocabulary_size, bias)
            if scale:
                value = over(value)
            if soft_cap:
                value = over(over(over(value)))
            value.output = True
            self.graph.expand(value)
        else:
            self.graph.expand(result)
        if self.plan.embedding:
            self.pool(result)

    def pool(self, value: Tensor) -> None:
        """build_pooling and build_dense_out."""
        kind = self.shape.pooling_type or POOLING_NONE
        if kind == POOLING_MEAN:
            means = self.input("means", (self.tokens, self.plan.sequences, 1, 1))
            turned = like(view(value, (value.ne[1], value.ne[0], 1, 1)))
            value = product(turned, means)
        elif kind in (POOLING_CLS, POOLING_LAST, POOLING_RANK):
            value = rows_of(value, self.input("pooled_rows", (self.plan.sequences, 1, 1, 1), I32))
        value.output = True
        self.graph.expand(value)
        for key in ("dense_2_feat_out", "dense_3_feat_out"):
            if self.fact(key):
                value = self.linear(value, int(self.fact(key)))
                value.output = True
                self.graph.expand(value)
