"""The header of a model that has a manifest, put together from those of its layers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Callable, Iterable

from .gguf_bytes import GgufError
from .gguf_header import Header
from .gguf_split import joined, split_count
from .ollama_manifest import Layer, Manifest, gguf_layers


@dataclass(frozen=True)
class ModelHeader(Header):
    """A header with where it comes from.

    ``manifest``: what the registry or Ollama's store says of the model, None for a plain file; ``digests``: of the files that
    were read, empty where nobody says them; ``transferred_bytes``: what was received over the network for all of it.
    """

    manifest: Manifest | None = None
    digests: tuple[str, ...] = ()
    transferred_bytes: int = 0


def with_origin(header: Header, manifest: Manifest | None, digests: Iterable[str], transferred_bytes: int = 0) -> ModelHeader:
    """The same header, telling where it comes from."""
    said = {item.name: getattr(header, item.name) for item in fields(Header)}
    return ModelHeader(**said, manifest=manifest, digests=tuple(digests), transferred_bytes=transferred_bytes)


def layers_header(manifest: Manifest, kind: str, name: str, read: Callable[[Layer], Header]) -> ModelHeader:
    """The header of the layers of one kind; ``read`` gets that of one layer. Raises GgufError.

    A split model is a manifest with several model layers, whose order does not matter (groupSplitGGUFLayers in
    server/create_split_gguf.go of Ollama v0.34.1). Of several projectors or adapters the first is read.
    """
    layers = gguf_layers(manifest, kind, name)
    first = read(layers[0])
    count = split_count(first)
    if count == 1 and kind in ("projector", "adapter"):
        layers = layers[:1]
    if len(layers) != count:
        raise GgufError(
            f"{name}: its manifest lists {len(layers)} {kind} layers, expected the {count} that the first one tells of"
        )
    header = joined([first, *(read(layer) for layer in layers[1:])])
    return with_origin(header, manifest, (layer.digest for layer in layers))
