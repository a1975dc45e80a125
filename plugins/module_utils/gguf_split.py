"""Models that are split over several GGUF files: which files, and what they say together.

Names and keys as llama.cpp b10488 has them (llama_split_path in src/llama.cpp; split.no, split.count and
split.tensors.count in src/llama-model-loader.cpp): model-00001-of-00003.gguf is the part with split.no 0.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Sequence

from .gguf_bytes import GgufError, shown
from .gguf_header import Header
from .gguf_types import Tensor

COUNT_KEY = "split.count"
NUMBER_KEY = "split.no"
TENSORS_KEY = "split.tensors.count"
MAX_PARTS = 1024  # maxSplitGGUFParts in server/create_split_gguf.go of Ollama v0.34.1
PART_NAME = re.compile(r"^(?P<prefix>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$", re.DOTALL)


def split_count(header: Header) -> int:
    """Of how many files the model consists. Raises GgufError where the header says something impossible."""
    found = header.metadata.get(COUNT_KEY, 1)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= MAX_PARTS:
        raise GgufError(f"{header.name}: got {found!r} as {COUNT_KEY}, expected 1 to {MAX_PARTS}: the file is damaged")
    return max(1, found)


def other_parts(first: Header, file_name: str) -> list[str]:
    """File names of the parts behind the first one, which is called ``file_name``. Raises GgufError where it is not the first."""
    count = split_count(first)
    if count == 1:
        return []
    match = PART_NAME.match(file_name)
    if match is None or int(match["count"]) != count:
        wanted = f"-00001-of-{count:05d}.gguf"
        raise GgufError(f"{first.name}: is one of {count} parts, expected a name that ends with {wanted}: give it back its name")
    names = [f"{match['prefix']}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]
    if first.metadata.get(NUMBER_KEY) != 0 or names[0] != file_name:
        raise GgufError(f"{first.name}: is not the first of its {count} parts; name {names[0]}, which brings the others")
    return names[1:]


def joined(parts: Sequence[Header]) -> Header:
    """The header of the whole model from those of its parts, in any order; the sizes add up. Raises GgufError where they do not
    belong together."""
    first = parts[0]
    count = split_count(first)
    if len(parts) != count:
        raise GgufError(f"{first.name}: got {len(parts)} files, expected the {count} that {COUNT_KEY} tells of")
    if count == 1:
        return first
    by_number: dict[str, Header] = {}
    for part in parts:
        if split_count(part) != count:
            raise GgufError(
                f"{part.name}: tells of {split_count(part)} parts, {first.name} of {count}: they do not belong together"
            )
        by_number[str(part.metadata.get(NUMBER_KEY))] = part
    numbers = [str(number) for number in range(count)]
    if sorted(by_number) != sorted(numbers):
        found = ", ".join(sorted(by_number))
        raise GgufError(f"{first.name}: got {NUMBER_KEY} {found} in its {count} parts, expected 0 to {count - 1}, each once")
    ordered = [by_number[number] for number in numbers]
    return replace(ordered[0], tensors=_tensors(ordered), file_bytes=_total_bytes(ordered), parts=count)


def _tensors(parts: Sequence[Header]) -> tuple[Tensor, ...]:
    tensors = tuple(tensor for part in parts for tensor in part.tensors)
    by_name = {tensor.name: tensor for tensor in tensors}
    if len(by_name) != len(tensors):
        twice = next(tensor.name for tensor in tensors if by_name[tensor.name] is not tensor)
        raise GgufError(f"{parts[0].name}: tensor {shown(twice)} is in two of its parts; fetch them again")
    wanted = parts[0].metadata.get(TENSORS_KEY)
    if wanted is not None and wanted != len(tensors):
        raise GgufError(f"{parts[0].name}: got {len(tensors)} tensors in all parts, expected {wanted}; fetch them again")
    return tensors


def _total_bytes(parts: Sequence[Header]) -> int | None:
    sizes = [part.file_bytes for part in parts if part.file_bytes is not None]
    return sum(sizes) if len(sizes) == len(parts) else None
