"""Where the weights of a model go: which layers to which accelerator, and the bytes of each pool.

Source: load_tensors of src/llama-model.cpp, create_tensor of src/llama-model-loader.cpp and load_arch_tensors of
src/models/*.cpp, llama.cpp b10488.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import Sequence

from .memory_before_llama_server import keeps_second_embedding
from .memory_settings import Pool, Settings, runs_models_itself
from .model_shape import ModelShape
from .tensor_summary import TensorSummary

HOST = -1


@dataclass(frozen=True)
class Placement:
    """For each layer, and for the output layer, the index of the accelerator that holds it, or HOST."""

    layers: tuple[int, ...]
    output: int

    @property
    def used(self) -> tuple[int, ...]:
        """Indices of the accelerators that hold anything."""
        return tuple(sorted({index for index in (*self.layers, self.output) if index != HOST}))


@dataclass(frozen=True)
class PlacedWeights:
    """Bytes by accelerator, in their order, and on the host."""

    accelerator_bytes: tuple[int, ...]
    host_bytes: int


@lru_cache(maxsize=512)
def placement_of(layer_count: int, settings: Settings, accelerators: tuple[Pool, ...]) -> Placement:
    """The layers of a model on the accelerators: the last ``gpu_layers`` of them, in proportion to free memory.

    ``layer_count`` includes blocks that only predict further tokens; the output layer counts as one more. Accelerators of
    kind cpu are the host.
    """
    devices = [index for index, pool in enumerate(accelerators) if pool.kind != "cpu"]
    wanted = layer_count + 1 if settings.gpu_layers is None else settings.gpu_layers
    on_devices = min(wanted, layer_count + 1) if devices else 0
    first = layer_count + 1 - on_devices
    shares = _cumulated(_shares(settings, [accelerators[index] for index in devices])) if on_devices else []
    where = [
        HOST if index < first else devices[min(bisect_right(shares, _single((index - first) / on_devices)), len(devices) - 1)]
        for index in range(layer_count + 1)
    ]
    return Placement(tuple(where[:-1]), where[-1])


def _shares(settings: Settings, devices: Sequence[Pool]) -> list[float]:
    if settings.tensor_split and any(settings.tensor_split):
        return [*settings.tensor_split, *[0.0] * len(devices)][: len(devices)]
    return [pool.free_mib for pool in devices]


def _cumulated(shares: Sequence[float]) -> list[float]:
    total = sum(shares) or 1.0
    return [_single(sum(shares[: index + 1]) / total) for index in range(len(shares))]


def _single(value: float) -> float:
    """Rounded to single precision: llama.cpp compares floats, and layers lie on the boundary."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


@lru_cache(maxsize=512)
def placed_weights(shape: ModelShape, settings: Settings, accelerators: tuple[Pool, ...]) -> PlacedWeights:
    """The bytes of the weights in each pool. ``shape.tensors`` must be known, ``settings`` resolved."""
    tensors = shape.tensors
    if tensors is None:
        raise ValueError("the tensors of the model are not known")
    placement = placement_of(len(shape.layers), settings, accelerators)
    totals = dict.fromkeys((HOST, *range(len(accelerators))), 0)
    totals[HOST] += tensors.input_bytes + tensors.per_layer_embedding_bytes
    for index, size in zip(placement.layers, layer_bytes(shape, tensors)):
        totals[index] += size
    totals[placement.output] += tensors.output_bytes + _second_embedding(shape, tensors, settings, placement, accelerators)
    return PlacedWeights(tuple(totals[index] for index in range(len(accelerators))), totals[HOST])


def layer_bytes(shape: ModelShape, tensors: TensorSummary) -> list[int]:
    """Bytes that each layer loads. Where only totals are known, all layers are taken to be alike."""
    main = shape.block_count
    if tensors.layer_bytes is None:
        each, rest = divmod(tensors.repeating_bytes, main)
        return [each + (index < rest) for index in range(main)] + [0] * shape.nextn_layers
    stored = len(tensors.layer_bytes)
    sizes = list(tensors.layer_bytes)
    # What belongs to no block but is no input or output either is created with the first layer.
    sizes[0] += tensors.repeating_bytes - sum(sizes)
    return sizes + [0] * (len(shape.layers) - stored)


def _second_embedding(
    shape: ModelShape, tensors: TensorSummary, settings: Settings, placement: Placement, accelerators: tuple[Pool, ...]
) -> int:
    """Bytes of the copy of the token embedding that serves as the output matrix where the file has none.

    On an accelerator it is a copy of its own, unless that shares the file's pages with the host (mmap on unified memory). On
    the host it is the same tensor, except for architectures that create the output first: the loader then makes two
    (models/gemma3n.cpp, gemma4.cpp); with mmap both are the same pages of the file.
    """
    if keeps_second_embedding(shape, settings):
        return tensors.token_embedding_bytes
    if not shape.tied_output or not shape.rules.has_output:
        return 0
    if placement.output == HOST:
        twice = shape.rules.output_before_embedding and not (settings.mmap or runs_models_itself(settings))
        return tensors.token_embedding_bytes if twice else 0
    unified = accelerators[placement.output].kind == "unified"
    return 0 if unified and settings.mmap else tensors.token_embedding_bytes
