"""The predictor asked about a model file, in the shape in which engines are compared with it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from plugins.module_utils.gguf import read_header
from plugins.module_utils.memory import MIB, ModelFiles, PoolParts, output_bytes, predict
from plugins.module_utils.memory_settings import Settings, for_model
from plugins.module_utils.model_shape import ModelShape, describe


def shape_of(path: Path) -> ModelShape:
    header = read_header(str(path))
    return describe(header.metadata, [(tensor.name, tensor.shape, tensor.type_id) for tensor in header.tensors])


def grown(path: Path, settings: Settings) -> PoolParts:
    """The parts of a host without accelerators, each with what it grows to."""
    return predict(ModelFiles(shape_of(path), path.stat().st_size), settings).host


def predicted(path: Path, settings: Settings) -> dict[str, dict[str, float]]:
    """MiB by device and part, for a host without accelerators, as they are after the load.

    A model for embeddings begins with an output row for each sequence, like all others.
    """
    parts = {name.removesuffix("_mib"): mib for name, mib in asdict(grown(path, settings)).items() if name.endswith("_mib")}
    shape = shape_of(path)
    chosen = for_model(settings, shape)
    return {"host": {**parts, "output": output_bytes(shape, chosen, chosen.parallel) / MIB}}
