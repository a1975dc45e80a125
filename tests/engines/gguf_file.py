"""Writes small GGUF files, version 3: what an engine accepts as a model, with weights that mean nothing.

Format: the GGUF specification. Weights repeat a short block of small seeded numbers, so that no layer's output overflows; two
models of one shape and different names differ in their bytes.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

ALIGNMENT = 32
# ggml's number of a type, elements and bytes of a block.
TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q8_0": (8, 32, 34), "MXFP4": (39, 32, 17)}
# How many blocks are drawn before they repeat.
POOL_BLOCKS = 2048

Value = bool | int | float | str | Sequence[int] | Sequence[float] | Sequence[str] | Sequence[bool]


@dataclass(frozen=True)
class Tensor:
    """One tensor; `shape` is in GGUF's order, the row first. `fill` None draws small numbers."""

    name: str
    shape: tuple[int, ...]
    kind: str = "F16"
    fill: float | None = None

    @property
    def bytes(self) -> int:
        _number, elements, size = TYPES[self.kind]
        count = 1
        for length in self.shape:
            count *= length
        if self.shape[0] % elements:
            raise ValueError(f"{self.name}: rows of {self.shape[0]} elements, expected a multiple of {elements} for {self.kind}")
        return count // elements * size


def padded(count: int) -> int:
    return (count + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def scalar(value: bool | int | float | str) -> tuple[int, bytes]:
    """GGUF's number of the value's type, and the value."""
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    if isinstance(value, int):
        return (4, struct.pack("<I", value)) if value >= 0 else (5, struct.pack("<i", value))
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    return 8, text(value)


def entry(key: str, value: Value) -> bytes:
    if isinstance(value, (bool, int, float, str)):
        kind, data = scalar(value)
        return text(key) + struct.pack("<I", kind) + data
    items = [scalar(item) if isinstance(item, (bool, float, str)) else (5, struct.pack("<i", item)) for item in value]
    kind = items[0][0] if items else 8
    return text(key) + struct.pack("<IIQ", 9, kind, len(items)) + b"".join(data for _kind, data in items)


def drawn(kind: str, draw: random.Random) -> bytes:
    """One block of a type: a small scale and random numbers of it."""
    if kind == "F32":
        return struct.pack("<f", draw.uniform(-0.02, 0.02))
    if kind == "F16":
        return struct.pack("<e", draw.uniform(-0.02, 0.02))
    if kind == "MXFP4":
        # An exponent byte of 127 stands for 1.
        return bytes([120]) + draw.randbytes(16)
    return struct.pack("<e", 0.0002) + draw.randbytes(TYPES[kind][2] - 2)


def write_weights(stream: BinaryIO, tensor: Tensor, draw: random.Random) -> None:
    pool = (
        struct.pack("<f", tensor.fill)
        if tensor.fill is not None
        else b"".join(drawn(tensor.kind, draw) for _block in range(POOL_BLOCKS))
    )
    repeats, rest = divmod(tensor.bytes, len(pool))
    stream.write(pool * repeats + pool[:rest])
    stream.write(bytes(padded(tensor.bytes) - tensor.bytes))


def write(path: Path, metadata: Mapping[str, Value], tensors: Iterable[Tensor], seed: str) -> None:
    """Write a file under another name and move it to `path` when it is whole."""
    listed, draw = list(tensors), random.Random(seed)
    infos, offset = b"", 0
    for tensor in listed:
        shape = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        infos += text(tensor.name) + shape + struct.pack("<IQ", TYPES[tensor.kind][0], offset)
        offset += padded(tensor.bytes)
    entries = b"".join(entry(key, value) for key, value in metadata.items())
    head = b"GGUF" + struct.pack("<IQQ", 3, len(listed), len(metadata)) + entries + infos
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as stream:
        stream.write(head + bytes(padded(len(head)) - len(head)))
        for tensor in listed:
            write_weights(stream, tensor, draw)
    unfinished.rename(path)
