# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether models_directory is the store of the engine that was named: a model that the engine shows has its manifest there."""

from __future__ import annotations

import hashlib

from .gguf_bytes import GgufError
from .installed_model import Engine
from .ollama_manifest import MAX_MANIFEST_BYTES
from .ollama_names import ModelName, parse_model_name
from .ollama_store import manifest_path
from .transfer_progress import ModelProblem

SHOWN = 12


def check_directory(engine: Engine) -> None:
    """Raises ModelProblem where a model of the engine is not in models_directory, RequestFailed where the engine does not answer.

    Without a model, and where the directory may not be read, nobody knows: that passes.
    """
    newest = _newest(engine) if engine.store is not None else None
    if engine.store is None or newest is None:
        return
    name, digest = newest
    directory = engine.store.directory
    try:
        with open(manifest_path(directory, name), "rb") as stream:
            found = hashlib.sha256(stream.read(MAX_MANIFEST_BYTES)).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        found = ""
    except OSError:
        return
    if found != digest:
        got = f"digest {found[:SHOWN]}…" if found else "no manifest"
        raise ModelProblem(
            f"got models_directory {directory}, which has {got} for {name}, expected digest {digest[:SHOWN]}…, which the "
            f"engine at {engine.url} shows: name the directory of that engine's models (its OLLAMA_MODELS); nothing was changed"
        )


def _newest(engine: Engine) -> tuple[ModelName, str] | None:
    """Name and digest of one model that the engine shows; the newest is its first, which a store that was left lacks."""
    models = engine.api.get("/api/tags").get("models")
    for item in models if isinstance(models, list) else []:
        said, digest = (item.get("name"), item.get("digest")) if isinstance(item, dict) else (None, None)
        if not isinstance(said, str) or not isinstance(digest, str):
            continue
        try:
            name = parse_model_name(said)
        except GgufError:
            continue
        # A last ":local" is read as a place and not as the tag that older engines took it for.
        if name.tag == said.rpartition(":")[2]:
            return name, digest
    return None
