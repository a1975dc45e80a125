"""What small models are made of: the keys of a header that most architectures have, and the tensors of a block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.engines.gguf_file import Tensor, Value, write
from tests.engines.model_tokens import VOCABULARY

TRAINED_TOKENS = 131072


@dataclass(frozen=True)
class SmallModel:
    """A model: its name here, llama.cpp's name of its architecture, what it stands for, its header and its tensors."""

    name: str
    architecture: str
    stands_for: str
    metadata: dict[str, Value]
    tensors: list[Tensor] = field(repr=False)

    def write(self, folder: Path) -> Path:
        path = folder / f"{self.name}.gguf"
        if not path.is_file():
            write(path, self.metadata, self.tensors, self.name)
        return path


@dataclass(frozen=True)
class Shape:
    """What most architectures have in common; `head` is the length of a head, of K and of V."""

    layers: int = 6
    width: int = 512
    heads: int = 8
    kv_heads: int = 2
    head: int = 64
    feed_forward: int = 1024
    kind: str = "F16"
    trained_tokens: int = TRAINED_TOKENS

    def keys(self, architecture: str, **more: Value) -> dict[str, Value]:
        common: dict[str, Value] = {
            "block_count": self.layers,
            "context_length": self.trained_tokens,
            "embedding_length": self.width,
            "feed_forward_length": self.feed_forward,
            "attention.head_count": self.heads,
            "attention.head_count_kv": self.kv_heads,
            "attention.layer_norm_rms_epsilon": 1e-6,
            "rope.freq_base": 10000.0,
        }
        return {f"{architecture}.{key}": value for key, value in {**common, **more}.items()}

    def lengths(self) -> dict[str, Value]:
        return {"attention.key_length": self.head, "attention.value_length": self.head}


def norm(name: str, length: int) -> Tensor:
    return Tensor(name, (length,), "F32", 1.0)


def zero(name: str, *shape: int) -> Tensor:
    return Tensor(name, shape, "F32", 0.0)


def ends(shape: Shape, tied: bool) -> Iterator[Tensor]:
    """Token embedding, output norm and, where it is not tied to the embedding, the output."""
    yield Tensor("token_embd.weight", (shape.width, VOCABULARY))
    yield norm("output_norm.weight", shape.width)
    if not tied:
        yield Tensor("output.weight", (shape.width, VOCABULARY))


def attention(shape: Shape, block: str, *, head_norms: bool = False) -> Iterator[Tensor]:
    queries, keys = shape.heads * shape.head, shape.kv_heads * shape.head
    yield norm(f"{block}attn_norm.weight", shape.width)
    yield Tensor(f"{block}attn_q.weight", (shape.width, queries), shape.kind)
    yield Tensor(f"{block}attn_k.weight", (shape.width, keys), shape.kind)
    yield Tensor(f"{block}attn_v.weight", (shape.width, keys), shape.kind)
    yield Tensor(f"{block}attn_output.weight", (queries, shape.width), shape.kind)
    if head_norms:
        yield norm(f"{block}attn_q_norm.weight", shape.head)
        yield norm(f"{block}attn_k_norm.weight", shape.head)


def gated(shape: Shape, block: str, *, named: str = "ffn_norm") -> Iterator[Tensor]:
    """The feed-forward part of a dense layer, with the norm before it."""
    yield norm(f"{block}{named}.weight", shape.width)
    yield Tensor(f"{block}ffn_gate.weight", (shape.width, shape.feed_forward), shape.kind)
    yield Tensor(f"{block}ffn_up.weight", (shape.width, shape.feed_forward), shape.kind)
    yield Tensor(f"{block}ffn_down.weight", (shape.feed_forward, shape.width), shape.kind)


def experts(shape: Shape, block: str, count: int, length: int, kind: str = "F16") -> Iterator[Tensor]:
    yield Tensor(f"{block}ffn_gate_inp.weight", (shape.width, count), "F32")
    yield Tensor(f"{block}ffn_gate_exps.weight", (shape.width, length, count), kind)
    yield Tensor(f"{block}ffn_up_exps.weight", (shape.width, length, count), kind)
    yield Tensor(f"{block}ffn_down_exps.weight", (length, shape.width, count), kind)


def blocks(shape: Shape) -> list[str]:
    return [f"blk.{layer}." for layer in range(shape.layers)]


def model(
    name: str, architecture: str, stands_for: str, keys: dict[str, Value], tokens: dict[str, Value], tensors: Iterator[Tensor]
) -> SmallModel:
    head: dict[str, Value] = {
        "general.architecture": architecture,
        "general.name": name,
        "general.type": "model",
        # Mostly F16, in ggml's own table of file types.
        "general.file_type": 1,
        "general.quantization_version": 2,
        f"{architecture}.vocab_size": VOCABULARY,
    }
    return SmallModel(name, architecture, stands_for, {**head, **keys, **tokens}, list(tensors))
