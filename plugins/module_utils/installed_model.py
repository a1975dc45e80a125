# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model as an Ollama has it now, and what came of the work on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .connection import RequestFailed
from .gguf_bytes import GgufError
from .ollama_api import OllamaApi
from .ollama_manifest import Layer, Manifest, parse_manifest
from .ollama_names import ModelName, parse_model_name, same_model
from .ollama_store import manifest_bytes
from .store_write import Store, all_layers
from .transfer_progress import ModelProblem


@dataclass(frozen=True)
class Installed:
    """What ``/api/tags`` says of a model: the sha256 of its manifest, the bytes of its layers, its complete name as stored."""

    digest: str
    size_bytes: int
    name: str = ""


class Engine:
    """One model's place: the engine that has it or shall have it, and where known that engine's store."""

    def __init__(self, url: str, name: ModelName, models_directory: str | None = None, owner: str | None = None) -> None:
        self.url = url
        self.name = name
        self.api = OllamaApi(url)
        self.store = Store(models_directory, owner) if models_directory else None

    def version(self) -> str:
        """The engine's version, such as 0.33.0. Raises RequestFailed."""
        return str(self.api.get("/api/version").get("version") or "0.0.0")

    def installed(self, name: ModelName | None = None) -> Installed | None:
        """The model, or another one, as it is there now; None where it is not. Raises RequestFailed."""
        wanted = same_model(str(name or self.name))
        models = self.api.get("/api/tags").get("models")
        for item in models if isinstance(models, list) else []:
            found = item.get("name") if isinstance(item, dict) else None
            if isinstance(found, str) and same_model(found) == wanted:
                digest, size = item.get("digest"), item.get("size")
                if not isinstance(digest, str) or not isinstance(size, int):
                    raise RequestFailed("malformed", f"GET /api/tags: {found} has no digest and size")
                return Installed(digest, size, str(parse_model_name(found)))
        return None

    def verified(self, digest: str) -> Installed:
        """The model after a transfer. Raises ModelProblem where the engine does not show it with this digest."""
        there = self.installed()
        if there is None or there.digest != digest:
            got = f"digest {there.digest[:12]}…" if there else "no such model"
            store = f", and that models_directory is the engine's own: {self.store.directory}" if self.store else ""
            raise ModelProblem(
                f"after the transfer the engine at {self.url} shows {got}, expected digest {digest[:12]}…: the registry may have "
                f"changed meanwhile, run again; check{store or ' the name'}"
            )
        return there

    def manifest(self, name: ModelName | None = None) -> Manifest | None:
        """The model's manifest, or another one's, as it stands in the store; None where that is not known or cannot be read."""
        if self.store is None:
            return None
        name = name or self.name
        try:
            return parse_manifest(manifest_bytes(self.store.directory, name), str(name))
        except GgufError:
            return None

    def lacking(self, name: ModelName | None = None) -> list[Layer]:
        """Files of the installed model, or another one, that are not in the store with their size; none where nobody knows."""
        manifest = self.manifest(name)
        return self.store.missing(manifest) if self.store and manifest else []

    def delete(self) -> None:
        """Remove the model; the engine keeps layers that another model has."""
        try:
            self.api.call("DELETE", "/api/delete", {"model": str(self.name)})
        except RequestFailed as failure:
            if failure.status != 404:
                raise

    def remove_replaced(self, before: Manifest | None, *more: str) -> None:
        """Remove layers of a replaced version, and more blobs, that no model has: an Ollama with OLLAMA_NOPRUNE keeps them."""
        if self.store is not None:
            layers = all_layers(before) if before else []
            self.store.remove_unused([*(layer.digest for layer in layers), *more])


@dataclass(frozen=True)
class Outcome:
    """What came of it. ``before`` and ``after``: the model; parameters as the diff shows them."""

    engine: Engine
    changed: bool = False
    before: Installed | None = None
    after: Installed | None = None
    via: str = "none"
    downloaded_bytes: int = 0
    copied_bytes: int = 0
    msg: str = ""
    parameters_before: str = ""
    parameters_after: str = ""

    def result(self) -> dict[str, Any]:
        """As the module returns it."""
        return {
            "changed": self.changed,
            "digest": self.after.digest if self.after and self.after.digest else None,
            "size_bytes": self.after.size_bytes if self.after and self.after.size_bytes else None,
            "via": self.via,
            "downloaded_bytes": self.downloaded_bytes,
            "copied_bytes": self.copied_bytes,
            "msg": f"{self.engine.name}: {self.msg}",
            "diff": self._diff(),
        }

    def _diff(self) -> dict[str, str]:
        header = f"{self.engine.url} {self.engine.name}"
        before = _shown(self.before, self.parameters_before) if self.changed else ""
        after = _shown(self.after, self.parameters_after) if self.changed else ""
        return {"before_header": header, "after_header": header, "before": before, "after": after}


def _shown(model: Installed | None, parameters: str) -> str:
    if model is None:
        return ""
    return f"digest: {model.digest or 'known when it is made'}\n{parameters}"
