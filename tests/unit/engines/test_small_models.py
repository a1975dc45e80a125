"""The generated models are what the collection's own reader reads, and differ in their bytes where only the name does."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.module_utils.gguf import read_header
from plugins.module_utils.gguf_types import tensor_bytes
from plugins.module_utils.model_shape import describe
from tests.engines.model_parts import SmallModel
from tests.engines.small_models import llama, small_models, small_shape

MODELS = small_models()


def test_a_written_model_is_read_back(tmp_path: Path) -> None:
    made = llama("tiny", small_shape())
    header = read_header(str(made.write(tmp_path)))
    kept = {key: value for key, value in made.metadata.items() if isinstance(value, int | str)}
    assert {key: header.metadata[key] for key in kept} == kept
    assert [(tensor.name, tensor.shape, tensor_bytes(tensor)) for tensor in header.tensors] == [
        (tensor.name, tensor.shape, tensor.bytes) for tensor in made.tensors
    ]


def test_names_make_other_bytes(tmp_path: Path) -> None:
    files = {llama(name, small_shape()).write(tmp_path).read_bytes() for name in ("tiny-0", "tiny-1")}
    assert len(files) == 2


@pytest.mark.parametrize("made", MODELS.values(), ids=list(MODELS))
def test_every_architecture_is_known_and_small(made: SmallModel) -> None:
    shape = describe(made.metadata)
    assert (shape.known, shape.architecture) == (True, made.architecture)
    assert 1 <= sum(tensor.bytes for tensor in made.tensors) / 2**20 <= 64
