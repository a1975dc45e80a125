"""The header of one GGUF file, out of a stream or a local file.

Format: the GGUF specification (ggml/docs/gguf.md), versions 2 and 3, little endian. What llama.cpp b10488 refuses to load
(ggml/src/gguf.cpp, src/llama-model-loader.cpp) is refused here too, with the reason: a plan for it would be a promise about
a model that never starts. Types of tensors that are not known here are no reason: a newer engine may know them.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Any

from .gguf_bytes import U32, U64, GgufError, HeaderBytes, LongArray, Metadata, Stream, Value, shown
from .gguf_types import TENSOR_TYPES, Tensor, tensor_bytes

MAGIC = b"GGUF"
# How Ollama marks a file of the other byte order (fs/gguf/gguf.go of v0.34.1); llama.cpp tells it by the version.
SWAPPED_MAGIC = b"FUGG"
SUPPORTED_VERSIONS = (2, 3)
# Bounds against hostile files; see gguf_bytes.py.
MAX_KEYS = 65_536
MAX_TENSORS = 65_536
KEY_BYTES = U64.size + 1 + U32.size + 1
TENSOR_BYTES = U64.size + U32.size + U32.size + U64.size
MAX_DIMENSIONS = 4  # GGML_MAX_DIMS in ggml/include/ggml.h of llama.cpp b10488
MAX_ELEMENTS = 2**63 - 1
DEFAULT_ALIGNMENT = 32
ALIGNMENT_KEY = "general.alignment"


@dataclass(frozen=True)
class Header:
    """What the header of a model says.

    ``file_bytes``: size of the file, or of all ``parts`` of a split model together; None where nobody knows it.
    ``header_bytes``: where the tensor data of the (first) file begins. ``tensors``: of all parts; an offset counts from the
    tensor data of its own part. ``metadata``: see Value in gguf_bytes.py; what was too long to keep is a LongArray.
    """

    name: str
    file_bytes: int | None
    version: int
    metadata: Metadata
    tensors: tuple[Tensor, ...]
    header_bytes: int
    parts: int = 1

    def known_bytes(self) -> int:
        """``file_bytes``, for whom nothing is to be had without it. Raises GgufError where nobody knows it."""
        if self.file_bytes is None:
            raise GgufError(
                f"{self.name}: its server does not say how large it is; read it from another server, or declare its size"
            )
        return self.file_bytes

    @property
    def tensors_bytes(self) -> int | None:
        """Bytes of all tensors; None where the type of one is not known here."""
        total_bytes = 0
        for tensor in self.tensors:
            size_bytes = tensor_bytes(tensor)
            if size_bytes is None:
                return None
            total_bytes += size_bytes
        return total_bytes


def length_of(value: Value | None) -> int | None:
    """Number of items of an array of the metadata, kept or not; None for anything else."""
    if isinstance(value, LongArray):
        return value.length if value.item_type != "byte" else None
    return len(value) if isinstance(value, list) else None


def read_file(path: str) -> Header:
    """Header of the one file at ``path``, whatever it says about being part of a split model (gguf_split.py reads those).

    Raises GgufError for anything that is not a readable, complete GGUF file.
    """
    try:
        # Opening a pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise GgufError(f"{path}: is no regular file; name a GGUF file")
            return parse(stream, path, status.st_size)
    except OSError as error:
        raise GgufError(f"{path}: cannot be read: {error.strerror}") from error


def parse(stream: Stream, name: str, file_bytes: int | None = None) -> Header:
    """Header at the beginning of ``stream``, of which no more is read than the header and at most one chunk.

    ``name`` stands in messages; ``file_bytes`` is the size of the whole file where it is known: counts and offsets are then
    held against it. Raises GgufError.
    """
    reader = HeaderBytes(stream, name, file_bytes)
    version = _version(reader)
    tensor_count = reader.count("tensors", MAX_TENSORS, TENSOR_BYTES)
    metadata = _metadata(reader, reader.count("keys", MAX_KEYS, KEY_BYTES))
    alignment = _alignment(reader, metadata)
    tensors = _tensors(reader, tensor_count)
    header_bytes = -(-reader.offset // alignment) * alignment if tensors else reader.offset
    if file_bytes is not None:
        _check_extent(reader, tensors, file_bytes - header_bytes)
    return Header(name, file_bytes, version, metadata, tensors, header_bytes)


def _version(reader: HeaderBytes) -> int:
    magic = reader.take(4)
    if magic not in (MAGIC, SWAPPED_MAGIC):
        raise reader.refuse(f"got {magic!r} as the first four bytes, expected {MAGIC!r}", "this is no GGUF file")
    version = int(reader.number(U32))
    if magic == SWAPPED_MAGIC or version & 0xFFFF == 0:
        remedy = "engines on little-endian machines refuse it; convert the model there or take another file"
        raise reader.refuse("the file is big endian, expected little endian", remedy)
    if version not in SUPPORTED_VERSIONS:
        wanted = " or ".join(map(str, SUPPORTED_VERSIONS))
        raise reader.refuse(f"got GGUF version {version}, expected {wanted}", "no current engine reads it; take a newer file")
    return version


def _metadata(reader: HeaderBytes, count: int) -> Metadata:
    metadata: Metadata = {}
    for _index in range(count):
        key = reader.name_text("key")
        if not key or key in metadata:
            problem = f"key {shown(key)} is there twice" if key else "a key is empty"
            raise reader.refuse(problem, "no engine loads such a file; fetch it again or take another")
        metadata[key] = reader.value(int(reader.number(U32)), key)
    return metadata


def _alignment(reader: HeaderBytes, metadata: Metadata) -> int:
    found: Any = metadata.get(ALIGNMENT_KEY, DEFAULT_ALIGNMENT)
    if isinstance(found, bool) or not isinstance(found, int) or found <= 0 or found & (found - 1):
        raise reader.refuse(f"got {found!r} as {ALIGNMENT_KEY}, expected a power of two")
    return found


def _tensors(reader: HeaderBytes, count: int) -> tuple[Tensor, ...]:
    tensors: dict[str, Tensor] = {}
    for _index in range(count):
        tensor = _tensor(reader)
        if tensor.name in tensors:
            raise reader.refuse(f"tensor {shown(tensor.name)} is there twice")
        tensors[tensor.name] = tensor
    return tuple(tensors.values())


def _tensor(reader: HeaderBytes) -> Tensor:
    name = reader.name_text("tensor")
    dimensions = int(reader.number(U32))
    if dimensions > MAX_DIMENSIONS:
        raise reader.refuse(f"tensor {shown(name)} has {dimensions} dimensions, expected at most {MAX_DIMENSIONS}")
    shape = tuple(int(reader.number(U64)) for _index in range(dimensions))
    tensor = Tensor(name, shape, int(reader.number(U32)), int(reader.number(U64)))
    if max(shape, default=1) > MAX_ELEMENTS or tensor.elements > MAX_ELEMENTS:
        raise reader.refuse(f"tensor {shown(name)} has shape {shape}, expected fewer than 2^63 elements")
    kind = TENSOR_TYPES.get(tensor.type_id)
    if kind is not None and (shape[0] if shape else 1) % kind.block_elements:
        wanted = f"rows of a multiple of {kind.block_elements} elements for type {kind.name}"
        raise reader.refuse(f"tensor {shown(name)} has shape {shape}, expected {wanted}")
    return tensor


def _check_extent(reader: HeaderBytes, tensors: tuple[Tensor, ...], data_bytes: int) -> None:
    """Every tensor lies inside the file: a download that was cut off has the right header."""
    for tensor in tensors:
        # Of an unknown type only the beginning is known.
        end = tensor.offset + (tensor_bytes(tensor) or 0)
        if end > max(0, data_bytes):
            got = f"the file has {reader.file_bytes} bytes, {max(0, data_bytes)} of them behind its header"
            raise reader.refuse(f"{got}, expected at least {end}: tensor {shown(tensor.name)} ends there")
