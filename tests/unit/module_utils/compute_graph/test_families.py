"""The graph of every architecture against what llama.cpp itself reserves (tests/fixtures/memory/compute_zoo.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils.compute_bound import compute_bound
from plugins.module_utils.compute_buffers import ComputeBuffers, compute_buffers
from plugins.module_utils.compute_graph.families import BUILDERS
from plugins.module_utils.memory_settings import Pool, Settings, resolved
from plugins.module_utils.model_shape import ModelShape, describe

ZOO = json.loads((Path(__file__).parents[3] / "fixtures" / "memory" / "compute_zoo.json").read_text(encoding="utf-8"))
MODELS = {entry["model"]: entry for entry in ZOO["models"]}
ROWS = [dict(zip(ZOO["columns"], row, strict=True)) for row in ZOO["rows"]]
ONE_DEVICE = (Pool("gpu0", "gpu", 80_000.0),)
# Everything is laid out in the slower run; this one takes rows from all over the table.
STRIDE = 9
NO_TENSORS: Mapping[str, Any] = {"total_bytes": 0, "count": 0, "by_role_bytes": {}}
NEW = "unheard-of"
# What no header tells: by the name alone the engine turns flash attention off, or attends in a way of its own.
BOUND_BY_NAME = frozenset({"grok", "minimax-01"})


@cache
def shape_of(model: str) -> ModelShape:
    entry = MODELS[model]
    shape = describe(entry["metadata"], NO_TENSORS)
    if "names" not in entry or shape.tensors is None:
        return shape
    return replace(shape, tensors=replace(shape.tensors, names=frozenset(entry["names"])))


@cache
def as_unknown(model: str) -> ModelShape:
    """The same header under a name that nobody knows."""
    metadata = dict(MODELS[model]["metadata"])
    name = metadata.pop("general.architecture")
    facts = {key.replace(f"{name}.", f"{NEW}.", 1) if key.startswith(f"{name}.") else key: metadata[key] for key in metadata}
    facts.setdefault(f"{NEW}.attention.head_count", facts[f"{NEW}.embedding_length"] // 64)
    return describe({"general.architecture": NEW, **facts})


def settings_of(row: Mapping[str, Any]) -> Settings:
    return Settings(
        row["context_tokens"],
        row["parallel"],
        row["ubatch_tokens"],
        row["ubatch_tokens"],
        "on" if row["flash_attention"] else "off",
        row["kv_type"],
        row["kv_type"],
        embedding=row["embedding"],
    )


def sizes(cpu: ComputeBuffers, device: ComputeBuffers) -> tuple[int, int, int]:
    return cpu.host_bytes, device.accelerator_bytes[0], device.host_bytes


def truth(row: Mapping[str, Any]) -> tuple[int, int, int]:
    return row["cpu_bytes"], row["device_bytes"], row["host_bytes"]


def label(row: Mapping[str, Any]) -> str:
    return f"{row['model']} {row['context_tokens']}x{row['parallel']} {row['ubatch_tokens']} {row['kv_type']}"


def predicted(row: Mapping[str, Any]) -> tuple[int, int, int]:
    shape, settings = shape_of(row["model"]), settings_of(row)
    cpu = compute_buffers(shape, resolved(settings, ()), ())
    device = compute_buffers(shape, resolved(settings, ONE_DEVICE), ONE_DEVICE)
    assert cpu.exact
    assert device.exact
    return sizes(cpu, device)


def bounded(row: Mapping[str, Any]) -> tuple[int, int, int]:
    shape, settings = as_unknown(row["model"]), settings_of(row)
    cpu = compute_bound(shape, resolved(settings, ()), ())
    return sizes(cpu, compute_bound(shape, resolved(settings, ONE_DEVICE), ONE_DEVICE))


def architecture_of(row: Mapping[str, Any]) -> str:
    name: str = MODELS[row["model"]]["metadata"]["general.architecture"]
    return name


# The others' graphs are not known; they stand there for the bound.
LAID_OUT = [row for row in ROWS if architecture_of(row) in BUILDERS]


def test_every_builder_is_held_against_the_engine() -> None:
    assert set(BUILDERS) == {architecture_of(row) for row in LAID_OUT}
    assert set(MODELS) == {row["model"] for row in ROWS}


@pytest.mark.parametrize("row", LAID_OUT[::STRIDE], ids=label)
def test_buffers_are_those_of_the_engine(row: dict[str, Any]) -> None:
    assert predicted(row) == truth(row)


@pytest.mark.property
def test_buffers_of_all_rows_are_those_of_the_engine() -> None:
    assert [label(row) for row in LAID_OUT if predicted(row) != truth(row)] == []


def test_the_bound_of_an_unknown_architecture_holds() -> None:
    low = [
        label(row)
        for row in ROWS
        if architecture_of(row) not in BOUND_BY_NAME
        and any(bound < real for bound, real in zip(bounded(row), truth(row), strict=True))
    ]
    assert low == []
