"""Headers of the models that an Ollama on this machine has: manifest and blobs under its models directory, read as files.

Layout: manifest/paths.go of Ollama v0.34.1 (the same in v0.24.0):
``manifests/<host>/<namespace>/<model>/<tag>`` and ``blobs/sha256-<hex>``.
"""

from __future__ import annotations

import glob
import os
from dataclasses import replace

from .gguf_bytes import GgufError
from .gguf_header import Header, read_file
from .model_header import ModelHeader, layers_header
from .ollama_manifest import MAX_MANIFEST_BYTES, MAX_SETTINGS_BYTES, Layer, Manifest, gguf_layers, parse_manifest, read_json
from .ollama_names import ModelName, parse_model_name


def read_ollama_blob(models_directory: str, name: str, kind: str = "model") -> ModelHeader:
    """Header of a model that is in ``models_directory`` (OLLAMA_MODELS), with what its manifest says.

    ``kind``: which layer is read: model, projector, draft or adapter. Raises GgufError where the model or its blob is not there,
    is damaged or may not be read.
    """
    model = parse_model_name(name)
    manifest = read_manifest(models_directory, model)

    def read(layer: Layer) -> Header:
        return _blob_header(models_directory, name, layer)

    return layers_header(manifest, kind, name, read)


def find_model_file(models_directory: str, name: str) -> tuple[str, str]:
    """Path and sha256 (hex) of the one GGUF file of a model that is in ``models_directory``.

    Raises GgufError where the model or its file is not there, and for models that are more than one file.
    """
    manifest = read_manifest(models_directory, parse_model_name(name))
    layers = gguf_layers(manifest, "model", name)
    more = [kind for kind in ("adapter", "draft") if manifest.of_kind(kind)]
    if len(layers) > 1 or more:
        said = f"its weights are {len(layers)} files" if len(layers) > 1 else f"it has {' and '.join(more)} layers"
        raise GgufError(f"{name}: {said}, which is more than one GGUF file; take another tag, or a file as the model's source")
    path = blob_path(models_directory, layers[0].digest)
    if not os.path.isfile(path):
        raise GgufError(f"{name}: its manifest is there, but not the blob {path}: pull it again")
    return path, layers[0].digest.split(":", 1)[1].lower()


def stored_models(models_directory: str) -> list[str]:
    """Complete names of the models of which every file is there with its size, sorted. No engine is asked."""
    root = os.path.join(models_directory, "manifests")
    names = []
    for path in sorted(glob.glob(os.path.join(glob.escape(root), "*", "*", "*", "*"))):
        model = ModelName(*os.path.relpath(path, root).split(os.sep))
        try:
            manifest = parse_manifest(_read(path, MAX_MANIFEST_BYTES, str(model)), str(model))
        except GgufError:
            continue
        config = [manifest.config_layer] if manifest.config_layer else []
        if all(has_blob(models_directory, layer) for layer in [*manifest.layers, *config]):
            names.append(str(model))
    return names


def read_manifest(models_directory: str, model: ModelName) -> Manifest:
    """What the store says of a model, its settings included. Raises GgufError."""
    name = str(model)
    manifest = parse_manifest(manifest_bytes(models_directory, model), name)
    parameters = {}
    for layer in manifest.of_kind("params"):
        parameters.update(_settings(models_directory, layer, name))
    config = _settings(models_directory, manifest.config_layer, name) if manifest.config_layer else {}
    return replace(manifest, parameters=parameters, config=config)


def manifest_path(models_directory: str, model: ModelName) -> str:
    """Where the store has or would have the manifest of a model, in the spelling that is there already."""
    path = os.path.join(models_directory, "manifests")
    for part in (model.host, model.namespace, model.model, model.tag):
        path = os.path.join(path, _spelling(path, part))
    return path


def manifest_bytes(models_directory: str, model: ModelName) -> bytes:
    """The manifest of a model as it stands in the store. Raises GgufError where it is not there or cannot be read."""
    path = manifest_path(models_directory, model)
    return _read(path, MAX_MANIFEST_BYTES, f"{model}: is not in {models_directory}")


def blob_path(models_directory: str, digest: str) -> str:
    """Where the store has or would have a blob; ``digest`` begins with "sha256:"."""
    return os.path.join(models_directory, "blobs", digest.lower().replace(":", "-"))


def has_blob(models_directory: str, layer: Layer) -> bool:
    """Whether a blob is there with its size; its digest was verified when it was written."""
    try:
        return os.path.getsize(blob_path(models_directory, layer.digest)) == layer.size_bytes
    except OSError:
        return False


def _spelling(folder: str, wanted: str) -> str:
    """The entry of a folder that Ollama takes for a part of a name: it compares without regard to case."""
    try:
        entries = sorted(os.listdir(folder))
    except OSError:
        return wanted
    alike = [entry for entry in entries if entry.lower() == wanted.lower()]
    return wanted if wanted in alike or not alike else alike[0]


def _settings(models_directory: str, layer: Layer, name: str) -> dict[str, object]:
    path = blob_path(models_directory, layer.digest)
    return read_json(_read(path, MAX_SETTINGS_BYTES, f"{name}: its {layer.kind} layer is missing"), name, f"{layer.kind} layer")


def _blob_header(models_directory: str, name: str, layer: Layer) -> Header:
    path = blob_path(models_directory, layer.digest)
    if not os.path.exists(path):
        raise GgufError(f"{name}: its manifest is there, but not the blob {path}: pull it again")
    header = read_file(path)
    if header.file_bytes != layer.size_bytes:
        raise GgufError(f"{path}: got {header.file_bytes} bytes, the manifest of {name} says {layer.size_bytes}: pull it again")
    return header


def _read(path: str, limit_bytes: int, missing: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            data = stream.read(limit_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise GgufError(f"{missing}; expected {path}: pull the model, or name the directory that Ollama uses") from None
    except OSError as error:
        raise GgufError(f"{path}: cannot be read: {error.strerror}; read it as the user that runs Ollama") from error
    if len(data) > limit_bytes:
        raise GgufError(f"{path}: has more than {limit_bytes} bytes, which no manifest or setting has: it is damaged")
    return data
