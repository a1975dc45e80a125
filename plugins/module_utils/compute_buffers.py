"""The compute buffers of a loaded model: what the graph of one micro-batch needs at its widest."""

from __future__ import annotations

from .compute_bound import ComputeBuffers, compute_bound
from .memory_settings import Pool, Settings
from .model_shape import ModelShape

__all__ = ["ComputeBuffers", "compute_buffers"]


def compute_buffers(shape: ModelShape, settings: Settings, accelerators: tuple[Pool, ...]) -> ComputeBuffers:
    """The compute buffers of each pool. ``settings`` resolved; accelerators of kind cpu are the host."""
    return compute_bound(shape, settings, accelerators)
