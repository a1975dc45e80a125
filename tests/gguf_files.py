"""Writes GGUF files for tests: a real header, and tensor data that takes no room on disk whatever its size.

``write_gguf(path, {"general.architecture": "llama", "llama.block_count": 2}, [("token_embd.weight", (64, 1000), "q4_0")])``
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins.module_utils.gguf_types import TENSOR_TYPES, Tensor, tensor_bytes

FORMATS = {
    "u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "f32": "f", "bool": "?",
    "u64": "Q", "i64": "q", "f64": "d",
}  # fmt: skip
NUMBERS = {
    "u8": 0,
    "i8": 1,
    "u16": 2,
    "i16": 3,
    "u32": 4,
    "i32": 5,
    "f32": 6,
    "bool": 7,
    "str": 8,
    "arr": 9,
    "u64": 10,
    "i64": 11,
    "f64": 12,
}
TYPE_IDS = {kind.name: number for number, kind in TENSOR_TYPES.items()}
ALIGNMENT = 32

TensorLike = tuple[str, Sequence[int], str | int]


@dataclass(frozen=True)
class Typed:
    """A value, or a list of items, of a type that Python's own does not tell: Typed("u16", 3), Typed("i8", [])."""

    kind: str
    value: Any


@dataclass(frozen=True)
class Raw:
    """The bytes of a value of a type, as they are: for files that are wrong."""

    number: int
    data: bytes


def kind_of(value: Any) -> str:
    """The type a converter would choose."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return ("u32" if value < 2**32 else "u64") if value >= 0 else ("i32" if value >= -(2**31) else "i64")
    return "f32" if isinstance(value, float) else "str"


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def items(kind: str, values: Sequence[Any]) -> bytes:
    """The items of an array without their count."""
    return b"".join(map(text, values)) if kind == "str" else struct.pack(f"<{len(values)}{FORMATS[kind]}", *values)


def array_kind(values: Sequence[Any]) -> str:
    if not values:
        return "u32"
    if all(kind_of(item) in ("u32", "i32", "u64", "i64") for item in values):
        return kind_of(min(values)) if min(values) < 0 else kind_of(max(values))
    return kind_of(values[0])


def value_bytes(value: Any) -> bytes:
    """Type and value."""
    if isinstance(value, Raw):
        return struct.pack("<I", value.number) + value.data
    if not isinstance(value, Typed):
        value = Typed(array_kind(value) if isinstance(value, list) else kind_of(value), value)
    if isinstance(value.value, list):
        begin = struct.pack("<IIQ", NUMBERS["arr"], NUMBERS[value.kind], len(value.value))
        return begin + items(value.kind, value.value)
    return struct.pack("<I", NUMBERS[value.kind]) + items(value.kind, [value.value])


def tensor_info(name: str | bytes, shape: Sequence[int], type_id: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, type_id, offset)


def header(
    metadata: Mapping[str, Any] | Iterable[tuple[str | bytes, Any]],
    infos: Sequence[bytes] = (),
    version: int = 3,
    tensor_count: int | None = None,
    key_count: int | None = None,
) -> bytes:
    """A header without padding; the counts may lie."""
    pairs = list(metadata.items()) if isinstance(metadata, Mapping) else list(metadata)
    counts = (len(infos) if tensor_count is None else tensor_count, len(pairs) if key_count is None else key_count)
    body = b"".join(text(key) + value_bytes(value) for key, value in pairs)
    return b"GGUF" + struct.pack("<IQQ", version, *counts) + body + b"".join(infos)


def complete(metadata: Mapping[str, Any], tensors: Iterable[TensorLike] = (), version: int = 3) -> tuple[bytes, int]:
    """The padded header of a whole file, and the size of the file.

    Types of tensors by name or number; tensors of unknown types take no room.
    """
    alignment = int(metadata.get("general.alignment", ALIGNMENT))
    infos, offset = [], 0
    for name, shape, kind in tensors:
        type_id = TYPE_IDS[kind] if isinstance(kind, str) else kind
        infos.append(tensor_info(name, shape, type_id, offset))
        offset += padded(tensor_bytes(Tensor(name, tuple(shape), type_id, 0)) or 0, alignment)
    head = header(metadata, infos, version)
    head = head.ljust(padded(len(head), alignment), b"\0") if infos else head
    return head, len(head) + offset


def padded(count: int, alignment: int) -> int:
    return -(-count // alignment) * alignment


def write_gguf(path: str | Path, metadata: Mapping[str, Any], tensors: Iterable[TensorLike] = (), version: int = 3) -> int:
    """Write a whole file, its tensor data sparse zeros; returns its size in bytes."""
    head, file_bytes = complete(metadata, tensors, version)
    with Path(path).open("wb") as stream:
        stream.write(head)
        stream.truncate(file_bytes)
    return file_bytes


def write_split(folder: Path, name: str, metadata: Mapping[str, Any], parts: Sequence[Sequence[TensorLike]]) -> list[Path]:
    """Write a split model as llama.cpp's gguf-split does: all metadata in the first part."""
    count, tensors = len(parts), sum(map(len, parts))
    paths = []
    for number, own in enumerate(parts):
        said = {
            **(metadata if number == 0 else {}),
            "split.no": Typed("u16", number),
            "split.count": Typed("u16", count),
            "split.tensors.count": Typed("i32", tensors),
        }
        paths.append(folder / f"{name}-{number + 1:05d}-of-{count:05d}.gguf")
        write_gguf(paths[-1], said, own)
    return paths
