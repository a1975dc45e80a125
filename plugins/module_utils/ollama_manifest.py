"""The manifest of a model in a registry or in Ollama's own store: which layers it has and how large they are."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Mapping

from .gguf_bytes import GgufError

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
OLLAMA_LAYER = "application/vnd.ollama.image."
# Kinds that other media types stand for: server/images.go of Ollama v0.34.1, common/download.cpp of llama.cpp b10488.
KINDS = {
    OLLAMA_LAYER + "prompt": "template",
    "application/vnd.docker.ai.gguf.v3": "model",
}
DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}")
# The largest manifests are those of models in thousands of tensor layers, about a megabyte.
MAX_MANIFEST_BYTES = 8 * 2**20
# Layers of settings hold some lines of JSON.
MAX_SETTINGS_BYTES = 2**20
MAX_DIGITS = 20


@dataclass(frozen=True)
class Layer:
    """One blob of a model. ``kind``: model, projector, adapter, draft, params, template, system, license …, or its media type."""

    kind: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a registry knows of a model.

    ``digest``: of the manifest itself, as ``/api/tags`` shows it, without "sha256:". ``parameters``: the model's own settings
    (num_ctx, num_batch …), ``config``: model_format, model_family, file_type, requires …; empty where there are none.
    """

    digest: str
    layers: tuple[Layer, ...]
    config_layer: Layer | None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[Layer]:
        """The layers of one kind, in the order of the manifest."""
        return [layer for layer in self.layers if layer.kind == kind]

    @property
    def bytes_by_kind(self) -> dict[str, int]:
        """Bytes of all layers of each kind."""
        sizes: dict[str, int] = {}
        for layer in self.layers:
            sizes[layer.kind] = sizes.get(layer.kind, 0) + layer.size_bytes
        return sizes

    @property
    def total_bytes(self) -> int:
        """Disk space of the model: its layers and its configuration, the ``size`` of ``/api/tags``."""
        return sum(layer.size_bytes for layer in self.layers) + (self.config_layer.size_bytes if self.config_layer else 0)


def read_json(data: bytes, name: str, what: str) -> dict[str, Any]:
    """A JSON object out of a file that may be hostile. Raises GgufError naming ``what`` of ``name`` it was."""
    try:
        found = json.loads(data, parse_int=_bounded_int)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise GgufError(f"{name}: its {what} is no JSON object: got {data[:60]!r}; check the address of the registry")
    return found


def _bounded_int(digits: str) -> int:
    # Turning a million digits into a number takes minutes.
    if len(digits) > MAX_DIGITS:
        raise ValueError("too many digits")
    return int(digits)


def parse_manifest(data: bytes, name: str) -> Manifest:
    """The manifest as its bytes say. Raises GgufError for anything that is not the manifest of one model."""
    found = read_json(data, name, "manifest")
    layers = found.get("layers")
    if not isinstance(layers, list):
        raise GgufError(
            f"{name}: its manifest lists no layers (it has {sorted(found)[:8]}): this is not the manifest of one model"
        )
    config = found.get("config")
    config_layer = _layer(config, name) if isinstance(config, dict) and config.get("digest") else None
    return Manifest(hashlib.sha256(data).hexdigest(), tuple(_layer(item, name) for item in layers), config_layer)


def _layer(item: Any, name: str) -> Layer:
    fields = item if isinstance(item, dict) else {}
    media_type, digest, size_bytes = fields.get("mediaType"), fields.get("digest"), fields.get("size")
    if not isinstance(media_type, str) or not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise GgufError(f"{name}: a layer of its manifest lacks mediaType or a sha256 digest: the manifest is damaged")
    if isinstance(size_bytes, bool) or not isinstance(size_bytes, int) or size_bytes < 0:
        raise GgufError(f"{name}: layer {digest[:19]} has size {size_bytes!r}, expected bytes: the manifest is damaged")
    kind = KINDS.get(media_type) or (media_type[len(OLLAMA_LAYER) :] if media_type.startswith(OLLAMA_LAYER) else media_type)
    return Layer(kind, digest, size_bytes)


def gguf_layers(manifest: Manifest, kind: str, name: str) -> list[Layer]:
    """The layers of one kind that are GGUF files, at least one. Raises GgufError where the model has none, with the reason."""
    layers = manifest.of_kind(kind)
    if layers:
        return layers
    if manifest.of_kind("tensor"):
        raise GgufError(
            f"{name}: its weights are safetensors for MLX, not GGUF; declare its size, or take a tag with a GGUF file"
        )
    if manifest.config.get("remote_host") or manifest.config.get("remote_model"):
        raise GgufError(f"{name}: runs in Ollama's cloud, there are no weights; take a tag without cloud")
    listed = ", ".join(sorted(manifest.bytes_by_kind)) or "none"
    raise GgufError(f"{name}: has no {kind} layer, only these: {listed}; name a model that has one")
