"""Reads the header of a GGUF file: the metadata that decides a model's memory, never the weights.

Format: the GGUF specification, versions 2 and 3 (little endian): magic, version, tensor count, key-value count,
then typed key-value pairs. Arrays longer than ``KEPT_ARRAY_ITEMS`` (tokenizer tables) are skipped, not kept.
"""

from __future__ import annotations

import os
import struct
from typing import Any, BinaryIO, List, Union

MAGIC = b"GGUF"
SUPPORTED_VERSIONS = (2, 3)
# Bounds against hostile files. The largest published headers hold about 1,500 keys; token tables and merges under 600,000 items.
MAX_KEYS = 65_536
MAX_STRING_BYTES = 16 * 2**20
MAX_ARRAY_ITEMS = 4 * 2**20
KEPT_ARRAY_ITEMS = 4_096

# Value types of the specification: number -> struct format.
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING = 8
ARRAY = 9

Value = Union[int, float, bool, str, List[Any], None]


class GgufError(ValueError):
    """The file is no readable GGUF; the message names the file, what was got and what was expected."""


class _Reader:
    """Reads typed values from a stream and refuses counts that no real header has."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.stream = stream
        self.name = name

    def take(self, count: int) -> bytes:
        data = self.stream.read(count)
        if len(data) != count:
            raise GgufError(f"{self.name}: the header ends early: got {len(data)} bytes, expected {count}")
        return data

    def scalar(self, kind: int) -> Any:
        layout = SCALARS.get(kind)
        if layout is None:
            raise GgufError(f"{self.name}: got value type {kind}, expected one of the GGUF types 0-12")
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def count(self, what: str, limit: int) -> int:
        number = int(self.scalar(10))
        if number > limit:
            raise GgufError(f"{self.name}: got {number} {what}, expected at most {limit}: the file is damaged or hostile")
        return number

    def string(self) -> str:
        length = self.count("bytes in one string", MAX_STRING_BYTES)
        return self.take(length).decode("utf-8", errors="replace")

    def skip_string(self) -> None:
        self.take(self.count("bytes in one string", MAX_STRING_BYTES))

    def value(self, kind: int) -> Value:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            return self.array()
        result: Value = self.scalar(kind)
        return result

    def array(self) -> list[Any] | None:
        """The items, or None where there are more than ``KEPT_ARRAY_ITEMS``."""
        kind = int(self.scalar(4))
        length = self.count("items in one array", MAX_ARRAY_ITEMS)
        if kind != STRING and kind not in SCALARS:
            raise GgufError(f"{self.name}: got an array of type {kind}, expected an array of plain values")
        if length <= KEPT_ARRAY_ITEMS:
            return [self.value(kind) for _index in range(length)]
        self.skip_items(kind, length)
        return None

    def skip_items(self, kind: int, length: int) -> None:
        if kind in SCALARS:
            self.take(struct.calcsize(SCALARS[kind]) * length)
            return
        for _index in range(length):
            self.skip_string()


def read_header(path: str) -> dict[str, Any]:
    """Header of the GGUF file at ``path``.

    Returns ``{"file_bytes": int, "version": int, "tensor_count": int, "metadata": {key: value}}``; a value that was too
    long to keep is None. Raises GgufError for anything that is not a readable GGUF file.
    """
    try:
        with open(path, "rb") as stream:
            return _parse(_Reader(stream, path), os.stat(path).st_size)
    except OSError as error:
        raise GgufError(f"{path}: cannot be read: {error.strerror}") from error


def _parse(reader: _Reader, file_bytes: int) -> dict[str, Any]:
    magic = reader.take(4)
    if magic != MAGIC:
        raise GgufError(f"{reader.name}: got {magic!r} as the first four bytes, expected {MAGIC!r}: no GGUF file")
    version = int(reader.scalar(4))
    if version not in SUPPORTED_VERSIONS:
        raise GgufError(f"{reader.name}: got GGUF version {version}, expected one of {SUPPORTED_VERSIONS}")
    tensor_count = int(reader.scalar(10))
    metadata: dict[str, Value] = {}
    for _index in range(reader.count("keys", MAX_KEYS)):
        key = reader.string()
        metadata[key] = reader.value(int(reader.scalar(4)))
    return {"file_bytes": file_bytes, "version": version, "tensor_count": tensor_count, "metadata": metadata}
