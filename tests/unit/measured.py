"""Measured memory for tests: the development rows, and what llama.cpp b10488 answered for every architecture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "memory"
ROWS, MODELS, ORACLE = (FOLDER / name for name in ("memory_dev.jsonl", "memory_dev_models.json", "architectures.json"))


@cache
def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]


@cache
def models() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(MODELS.read_text(encoding="utf-8"))
    return found


@cache
def oracle() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ORACLE.read_text(encoding="utf-8"))
    return found


def tensors_of(groups: list[Any]) -> Iterator[tuple[str, list[int], int]]:
    """The tensors of an oracle's model: ``*`` in a name stands for each of its blocks."""
    for name, shape, kind, blocks in groups:
        yield from ((name.replace("*", str(block)), shape, kind) for block in blocks or [0])
