"""The tensors of a model, summed up by what decides their place in memory: input, layers, output, projector.

Source of the places: LLM_TENSOR_INFOS of src/llama-arch.cpp and create_tensor of src/llama-model-loader.cpp, llama.cpp b10488.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import Any, Iterable, Mapping, Sequence, Tuple

from .architectures import NEXTN_LOADED
from .tensor_types import tensor_bytes, tensor_type_name

NamedTensor = Tuple[str, Sequence[int], int]

# Tensors of the input layer: always on the host. The embeddings of layers belong to it too.
INPUT_TENSORS = frozenset({"token_embd", "position_embd", "token_types"})
PER_LAYER_EMBEDDING = "per_layer_token_embd"
OUTPUT_TENSORS = frozenset(
    """
    output output_norm cls cls.output cls.norm dense_2 dense_3 enc.output_norm dec.output_norm output_res_score output_hc_fn
    output_hc_base output_hc_scale altup_proj altup_unembd_proj nextn.post_projection fc d2t markov_w1 markov_w2 conf_proj
    """.split()  # noqa: SIM905 - so many words are read as words
)
# What Ollama's monolithic blobs carry for images and sound (llama/compat/llama-ollama-compat.cpp of v0.33.0) and what the
# text model therefore never loads; `mtp.` are its spelling of blocks that predict further tokens.
PROJECTOR_PREFIXES = ("v.", "mm.", "a.", "s.", "model.vision_tower.")
UNLOADED_PREFIXES = ("mtp.",)

BLOCK = re.compile(r"^(?:enc\.|dec\.)?blk\.(\d+)\.")
BLOCK_NUMBER = re.compile(r"^((?:enc\.|dec\.)?blk\.)\d+\.")


@dataclass(frozen=True)
class TensorSummary:
    """Bytes by place; ``nextn_bytes`` are not loaded. What only a list of tensors tells is None where only totals are known:

    ``layer_bytes`` and ``expert_layers`` by block; ``names`` of all tensors of the text model, without the block's number
    (``blk.attn_q.bias``); ``matrix_bytes``: for each row length and number of elements that matrices of blocks have, the
    most bytes of one.
    """

    token_embedding_bytes: int
    input_bytes: int
    per_layer_embedding_bytes: int
    output_matrix_bytes: int
    output_bytes: int
    repeating_bytes: int
    nextn_bytes: int
    projector_bytes: int
    layer_bytes: tuple[int, ...] | None
    expert_layers: tuple[bool, ...] | None
    token_embedding_type: str | None
    output_type: str | None
    tensor_count: int
    unknown_types: tuple[str, ...] = ()
    names: frozenset[str] | None = None
    matrix_bytes: tuple[tuple[int, int, int], ...] | None = None

    @property
    def tied_output(self) -> bool:
        """Whether there is no output matrix of its own, so that the token embedding serves as one."""
        return self.output_matrix_bytes == 0

    @property
    def loaded_bytes(self) -> int:
        """Every byte that the text model loads once."""
        return self.input_bytes + self.per_layer_embedding_bytes + self.output_bytes + self.repeating_bytes


class _Sums:
    """Collects what `summarise` adds up."""

    def __init__(self, loaded: str) -> None:
        self.always_loaded = re.compile(loaded)
        self.bytes_of: dict[str, int] = {}
        self.layers: dict[int, int] = {}
        self.loaded: dict[int, int] = {}
        self.experts: dict[int, bool] = {}
        self.types: dict[str, str] = {}
        self.unknown: dict[str, None] = {}
        self.names: set[str] = set()
        self.matrices: dict[tuple[int, int], int] = {}
        self.count = 0

    def add(self, name: str, shape: Sequence[int], type_id: int) -> None:
        self.count += 1
        size = tensor_bytes(shape, type_id)
        if size is None:
            self.unknown[tensor_type_name(type_id)] = None
            # Four bytes for each element: the widest that weights are stored in.
            size = tensor_bytes(shape, 0) or 0
        stem = name.rsplit(".", 1)[0]
        self.types.setdefault(stem, tensor_type_name(type_id))
        place = _place(name, stem)
        block = BLOCK.match(name)
        if place not in ("projector", "unloaded"):
            self.names.add(BLOCK_NUMBER.sub(r"\1", name))
        if place == "layer" and block is not None:
            if len(shape) > 1:
                form = (int(shape[0]), prod(shape))
                self.matrices[form] = max(size, self.matrices.get(form, 0))
            index = int(block.group(1))
            self.layers[index] = self.layers.get(index, 0) + size
            if self.always_loaded.search(name):
                self.loaded[index] = self.loaded.get(index, 0) + size
            self.experts[index] = self.experts.get(index, False) or "_exps." in name or name.endswith("_exps")
        self.bytes_of[place] = self.bytes_of.get(place, 0) + size
        if stem in ("token_embd", "output") and name.endswith(".weight"):
            self.bytes_of[stem] = size

    def sum(self, *places: str) -> int:
        return sum(self.bytes_of.get(place, 0) for place in places)


def _place(name: str, stem: str) -> str:
    if name.startswith(PROJECTOR_PREFIXES):
        return "projector"
    if name.startswith(UNLOADED_PREFIXES):
        return "unloaded"
    if BLOCK.match(name):
        return "layer"
    if stem == PER_LAYER_EMBEDDING:
        return "per_layer"
    if stem in INPUT_TENSORS:
        return "input"
    return "output_layer" if stem in OUTPUT_TENSORS else "other"


def summarise(
    tensors: Iterable[NamedTensor], block_count: int, nextn_layers: int = 0, nextn_loaded: str = NEXTN_LOADED
) -> TensorSummary:
    """The sums of a header's tensor list: ``(name, shape innermost first, type id)`` each.

    The last ``nextn_layers`` blocks only predict further tokens; of them, only what matches ``nextn_loaded`` is loaded.
    Blocks beyond ``block_count`` (a decoder that is deeper than its encoder) count with the last one that is loaded.
    """
    sums = _Sums(nextn_loaded)
    for name, shape, type_id in tensors:
        sums.add(name, shape, type_id)
    first_nextn = block_count - nextn_layers
    layers = [(sums.layers if index < first_nextn else sums.loaded).get(index, 0) for index in range(block_count)]
    nextn_bytes = sum(sums.layers.get(index, 0) for index in range(first_nextn, block_count)) - sum(layers[first_nextn:])
    layers[first_nextn - 1] += sum(size for index, size in sums.layers.items() if index >= block_count)
    return TensorSummary(
        token_embedding_bytes=sums.sum("token_embd"),
        input_bytes=sums.sum("input"),
        per_layer_embedding_bytes=sums.sum("per_layer"),
        output_matrix_bytes=sums.sum("output"),
        output_bytes=sums.sum("output_layer"),
        repeating_bytes=sums.sum("layer", "other") - nextn_bytes,
        nextn_bytes=nextn_bytes + sums.sum("unloaded"),
        projector_bytes=sums.sum("projector"),
        layer_bytes=tuple(layers),
        expert_layers=tuple(sums.experts.get(index, False) for index in range(block_count)),
        token_embedding_type=sums.types.get("token_embd"),
        output_type=sums.types.get("output"),
        tensor_count=sums.count,
        unknown_types=tuple(sums.unknown),
        names=frozenset(sums.names),
        matrix_bytes=tuple((*form, size) for form, size in sorted(sums.matrices.items())),
    )


def from_totals(totals: Mapping[str, Any], position_bytes: int = 0, nextn_loaded_share: float = 0.0) -> TensorSummary:
    """A summary from totals by role: ``{"total_bytes", "count", "by_role_bytes": {"token_embd", "output",
    "per_layer_token_embd", "nextn_block", …}, "token_embd_type", "output_type"}``; other roles are repeating layers.

    ``position_bytes``: of the tables of positions and token types, which no role names; ``nextn_loaded_share``: the part of
    blocks for further tokens that is loaded.
    """
    roles = totals.get("by_role_bytes") or {}
    token, output = int(roles.get("token_embd") or 0), int(roles.get("output") or 0)
    per_layer = int(roles.get(PER_LAYER_EMBEDDING) or 0)
    nextn = round(int(roles.get("nextn_block") or 0) * (1 - nextn_loaded_share))
    repeating = int(totals["total_bytes"]) - token - output - per_layer - nextn
    positions = min(position_bytes, max(repeating, 0))
    return TensorSummary(
        token_embedding_bytes=token,
        input_bytes=token + positions,
        per_layer_embedding_bytes=per_layer,
        output_matrix_bytes=output,
        output_bytes=output,
        repeating_bytes=repeating - positions,
        nextn_bytes=nextn,
        projector_bytes=0,
        layer_bytes=None,
        expert_layers=None,
        token_embedding_type=totals.get("token_embd_type"),
        output_type=totals.get("output_type"),
        tensor_count=int(totals.get("count") or 0),
    )
