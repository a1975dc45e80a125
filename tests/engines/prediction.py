"""The predictor asked about a model file, in the shape in which engines are compared with it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from plugins.module_utils.gguf import read_header
from plugins.module_utils.memory import ModelFiles, predict
from plugins.module_utils.memory_settings import Settings
from plugins.module_utils.model_shape import describe


def predicted(path: Path, settings: Settings) -> dict[str, dict[str, float]]:
    """MiB by device and part, for a host without accelerators."""
    header = read_header(str(path))
    shape = describe(header.metadata, [(tensor.name, tensor.shape, tensor.type_id) for tensor in header.tensors])
    said = predict(ModelFiles(shape, path.stat().st_size), settings)
    parts = asdict(said.host)
    return {"host": {name.removesuffix("_mib"): mib for name, mib in parts.items() if name.endswith("_mib")}}
