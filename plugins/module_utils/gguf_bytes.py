"""Reads the typed values of a GGUF header one after the other from a stream that may be hostile.

What was read is forgotten at once, every count is held against what the rest of the file can hold and against bounds that
no published header reaches, so that memory and time stay small whatever the file says. Layout: the GGUF specification
(ggml/docs/gguf.md), agreeing with ggml/src/gguf.cpp of llama.cpp b10488.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Dict, List, Protocol, Union

# Bounds against hostile files. The largest published headers: about 20 MiB, 100 keys, 2,500 tensors, 800,000 strings in the
# tables of a tokenizer (262,144 tokens and 515,000 merges), chat templates of 100 KiB.
MAX_HEADER_BYTES = 64 * 2**20
MAX_STRING_BYTES = 16 * 2**20  # MaxStringLength in fs/gguf/gguf.go of Ollama v0.34.1
MAX_NAME_BYTES = 65_535  # the specification's longest key
MAX_STRINGS = 2**21
MAX_ARRAY_ITEMS = 2**26  # MaxArraySize in fs/gguf/gguf.go of Ollama v0.34.1
# What is kept of the metadata: per-layer arrays have as many items as a model has layers.
KEPT_ARRAY_ITEMS = 4_096
KEPT_TEXT_BYTES = 256 * 2**10
MAX_KEPT_ITEMS = 2**17
MAX_KEPT_TEXT_BYTES = 4 * 2**20
CHUNK_BYTES = 256 * 2**10

# Value types of the specification: number -> name, and format character where all values are of one size.
TYPE_NAMES = ("u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "str", "arr", "u64", "i64", "f64")
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING = 8
ARRAY = 9
SCALARS = {kind: struct.Struct(f"<{code}") for kind, code in FORMATS.items()}
U32 = SCALARS[4]
U64 = SCALARS[10]
EXCERPT_CHARACTERS = 60
DAMAGED = "the file is damaged or not fully downloaded; fetch it again"


class GgufError(ValueError):
    """No readable GGUF header; the message names the file, what was got, what was expected and what to do."""


@dataclass(frozen=True)
class LongArray:
    """An array, or a text (``item_type`` "byte"), that was too long to keep: only its length and the type of its items."""

    length: int
    item_type: str


Scalar = Union[int, float, bool, str]
Value = Union[Scalar, List[Scalar], LongArray]


class Stream(Protocol):
    """Where the bytes come from: a raw file, a BytesIO, a remote file."""

    def read(self, count: int, /) -> bytes:
        """At least one byte and at most ``count``; none at the end."""


def shown(text: str) -> str:
    """A name out of a file, fit for a message."""
    return repr(text if len(text) <= EXCERPT_CHARACTERS else text[:EXCERPT_CHARACTERS] + "…")


class HeaderBytes:
    """A window that moves over the beginning of a file. ``file_bytes`` is None where nobody knows how long the file is."""

    def __init__(self, stream: Stream, name: str, file_bytes: int | None) -> None:
        self.name = name
        self.file_bytes = file_bytes
        self._stream = stream
        self._buffer = bytearray()
        self._position = 0
        self._dropped_bytes = 0
        self._strings = 0
        self._kept_items = 0
        self._kept_text_bytes = 0

    @property
    def offset(self) -> int:
        """Bytes of the file that were read or skipped."""
        return self._dropped_bytes + self._position

    def refuse(self, problem: str, remedy: str = DAMAGED) -> GgufError:
        """The error to raise: what was got and expected, and what to do."""
        return GgufError(f"{self.name}: {problem}: {remedy}")

    def room_bytes(self) -> int:
        """How many more bytes can belong to the header."""
        end = MAX_HEADER_BYTES if self.file_bytes is None else min(self.file_bytes, MAX_HEADER_BYTES)
        return max(0, end - self.offset)

    def _fill(self, count: int) -> None:
        """Have at least ``count`` bytes in the buffer behind the position."""
        del self._buffer[: self._position]
        self._dropped_bytes += self._position
        self._position = 0
        while len(self._buffer) < count:
            if self.offset + count > MAX_HEADER_BYTES:
                raise self.refuse(f"the header is longer than {MAX_HEADER_BYTES} bytes", "the file is damaged or hostile")
            piece = self._stream.read(CHUNK_BYTES)
            if not piece:
                got = self.offset + len(self._buffer)
                raise self.refuse(f"the header ends early: got {got} bytes, expected at least {self.offset + count}")
            self._buffer += piece

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        if len(self._buffer) - self._position < count:
            self._fill(count)
        begin = self._position
        self._position = begin + count
        return bytes(self._buffer[begin : self._position])

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes without ever holding them all."""
        while count:
            step = min(count, CHUNK_BYTES)
            if len(self._buffer) - self._position < step:
                self._fill(step)
            self._position += step
            count -= step

    def number(self, layout: struct.Struct) -> Any:
        """The next number of a layout out of SCALARS."""
        size = layout.size
        if len(self._buffer) - self._position < size:
            self._fill(size)
        found = layout.unpack_from(self._buffer, self._position)[0]
        self._position += size
        return found

    def count(self, what: str, limit: int, item_bytes: int) -> int:
        """The next number as a count of things of at least ``item_bytes``; refused when the rest of the file cannot hold them."""
        found = int(self.number(U64))
        if found > limit:
            raise self.refuse(f"got {found} {what}, expected at most {limit}", "the file is damaged or hostile")
        room_bytes = self.room_bytes()
        if found * item_bytes > room_bytes:
            held = f"only {room_bytes} bytes are left for them"
            raise self.refuse(f"got {found} {what}, expected at most {room_bytes // item_bytes}, {held}")
        return found

    def name_text(self, what: str) -> str:
        """A key or the name of a tensor, which must be UTF-8."""
        length = self.count(f"bytes in the name of a {what}", MAX_NAME_BYTES, 1)
        self._keep_text(length)
        data = self.take(length)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            excerpt = repr(data[:EXCERPT_CHARACTERS])
            raise self.refuse(f"got {excerpt} as the name of a {what}, expected UTF-8") from None

    def value(self, kind: int, key: str) -> Value:
        """The value of a key; texts and arrays that are too long to keep come back as LongArray."""
        layout = SCALARS.get(kind)
        if layout is not None:
            found: Scalar = self.number(layout)
            return found
        if kind == STRING:
            return self._text()
        if kind == ARRAY:
            return self._array(key)
        raise self.refuse(f"key {shown(key)} has value type {kind}, expected one of the GGUF types 0-12")

    def _text(self) -> str | LongArray:
        length = self.count("bytes in one string", MAX_STRING_BYTES, 1)
        if length > KEPT_TEXT_BYTES:
            self.skip(length)
            return LongArray(length, "byte")
        self._keep_text(length)
        # Values need not be UTF-8: some converters wrote what their source had.
        return self.take(length).decode("utf-8", errors="replace")

    def _array(self, key: str) -> list[Scalar] | LongArray:
        kind = int(self.number(U32))
        if kind != STRING and kind not in SCALARS:
            raise self.refuse(f"key {shown(key)} is an array of type {kind}, expected an array of plain values")
        item_bytes = U64.size if kind == STRING else SCALARS[kind].size
        length = self.count("items in one array", MAX_ARRAY_ITEMS, item_bytes)
        if length > KEPT_ARRAY_ITEMS:
            if kind == STRING:
                self._skip_strings(length)
            else:
                self.skip(length * item_bytes)
            return LongArray(length, TYPE_NAMES[kind])
        self._kept_items += length
        if self._kept_items > MAX_KEPT_ITEMS:
            raise self.refuse(f"got more than {MAX_KEPT_ITEMS} items in short arrays", "the file is damaged or hostile")
        return self._items(kind, length)

    def _items(self, kind: int, length: int) -> list[Scalar]:
        if kind != STRING:
            return list(struct.unpack(f"<{length}{FORMATS[kind]}", self.take(length * SCALARS[kind].size)))
        items: list[Scalar] = []
        for _index in range(length):
            size = self.count("bytes in one string", MAX_STRING_BYTES, 1)
            self._keep_text(size)
            items.append(self.take(size).decode("utf-8", errors="replace"))
        return items

    def _keep_text(self, length: int) -> None:
        self._kept_text_bytes += length
        if self._kept_text_bytes > MAX_KEPT_TEXT_BYTES:
            raise self.refuse(f"got more than {MAX_KEPT_TEXT_BYTES} bytes of text", "the file is damaged or hostile")

    def _skip_strings(self, count: int) -> None:
        """Pass over ``count`` strings: the tables of a tokenizer, nearly all of a header."""
        self._strings += count
        if self._strings > MAX_STRINGS:
            raise self.refuse(
                f"got {self._strings} strings in long arrays, expected at most {MAX_STRINGS}", "the file is hostile"
            )
        while count:
            if len(self._buffer) - self._position < U64.size:
                self._fill(U64.size)
            count -= self._skip_buffered_strings(count)

    def _skip_buffered_strings(self, count: int) -> int:
        """Pass over those of the next ``count`` strings that begin in the buffer; returns how many. One screen, one loop: it
        runs a million times."""
        unpack, buffer, position, length = U64.unpack_from, self._buffer, self._position, 0
        left, last = count, len(buffer) - U64.size
        while left and position <= last:
            length = unpack(buffer, position)[0]
            position += U64.size + length
            left -= 1
        # Only the last one can reach beyond the buffer.
        beyond = position - len(buffer)
        if beyond > 0:
            if length > MAX_STRING_BYTES:
                raise self.refuse(f"got {length} bytes in one string, expected at most {MAX_STRING_BYTES}", "the file is hostile")
            self._position = len(buffer)
            self.skip(beyond)
        else:
            self._position = position
        return count - left


Metadata = Dict[str, Value]
