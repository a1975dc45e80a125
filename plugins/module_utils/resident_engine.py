# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One Ollama as the residency sees it: look, load, unload.

Source: server/routes.go and server/sched.go of Ollama v0.24.0 and v0.33.0; tried on both.
"""

from __future__ import annotations

import time
from typing import Any, Mapping

from .connection import Endpoint, RequestFailed
from .events import cleaned
from .ollama_api import OllamaApi
from .residency import take, text_or_none, whole_or_none
from .resident_set import comparable

UNLOAD_POLL_S = 0.1
UNSHOWN_LIMIT_S = 1.0
LOAD_TIMEOUT_S = 900.0


class ResidentEngine:
    """An Ollama at ``url`` (without /v1). A load may take ``load_timeout_s``."""

    def __init__(self, url: str, load_timeout_s: float = LOAD_TIMEOUT_S) -> None:
        self.url = url
        self.load_timeout_s = load_timeout_s
        self._api = OllamaApi(url)

    def look(self) -> dict[str, Any]:
        """The receipt of ``residency.take`` with ``installed``; a dead engine is an ``error`` in it, nothing is raised."""
        endpoint = Endpoint(self.url)
        try:
            receipt = take(endpoint, "ollama", "")
        finally:
            endpoint.close()
        receipt["resident"], receipt["installed"] = None, None
        if receipt["error"] is None:
            try:
                receipt["installed"] = installed(self._api, [str(model["name"]) for model in receipt["models"]])
            except RequestFailed as failure:
                receipt["error"] = failure.as_dict()
        return receipt

    def load(self, name: str, embedding: bool) -> None:
        """Load a model for ever, or only make it stay for ever where it is loaded. Raises RequestFailed.

        No option is sent: the server's settings and the model's own parameters decide. A ``num_ctx`` in this request would be
        what every later request without it differs from, and each of those would load the model again. For the same
        reason this request brings back a model that a client has loaded with another context.
        """
        path = "/api/embed" if self._only_embeds(name, embedding) else "/api/generate"
        self._api.call("POST", path, {"model": name, "keep_alive": -1, "stream": False}, self.load_timeout_s)

    def unload(self, name: str, digest: str | None, limit_s: float | None = None) -> None:
        """Unload a model and wait until it is gone; requests that it is answering are finished first. Raises RequestFailed.

        The engine unloads the file that the name has, whatever name it was loaded under: where this one is not shown, something
        may go or nothing.
        """
        limit_s = limit_s or self.load_timeout_s
        before = self._loaded()
        shown = (comparable(name), digest) in before
        self._api.call("POST", "/api/generate", {"model": name, "keep_alive": 0, "stream": False}, limit_s)
        ends = time.monotonic() + (limit_s if shown else UNSHOWN_LIMIT_S)
        while True:
            now = self._loaded()
            if (comparable(name), digest) not in now if shown else before - now or not before:
                return
            if time.monotonic() > ends:
                break
            time.sleep(UNLOAD_POLL_S)
        if shown:
            raise RequestFailed("timeout", f"{name} is still loaded {limit_s:g} s after it was to be unloaded")

    def _loaded(self) -> set[tuple[str, Any]]:
        """Names and digests of what is loaded."""
        return {(comparable(str(item.get("name"))), item.get("digest")) for item in entries(self._api.get("/api/ps"))}

    def _only_embeds(self, name: str, embedding: bool) -> bool:
        """/api/generate refuses a model that cannot complete; what it can do is the model's own word."""
        can = self._api.call("POST", "/api/show", {"model": name}).get("capabilities")
        return "completion" not in can if isinstance(can, list) and can else embedding


def entries(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The models of /api/ps or /api/tags."""
    models = answer.get("models")
    return [item for item in models if isinstance(item, dict)] if isinstance(models, list) else []


def installed(api: OllamaApi, loaded: list[str]) -> list[dict[str, Any]]:
    """What an Ollama has in its store, by name; see ``stored``. Raises RequestFailed.

    v0.24 does not list the context that a model was trained with: it is asked for the loaded ones.
    """
    names = {comparable(name) for name in loaded}
    found = sorted((stored(item) for item in entries(api.get("/api/tags"))), key=lambda item: str(item["name"]))
    for item in found:
        if item["trained_context_tokens"] is None and comparable(item["name"]) in names:
            item["trained_context_tokens"] = trained_context_tokens(api, item["name"])
    return found


def stored(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One model of /api/tags: name, digest (sha256 of its manifest), size_bytes (of all layers), modified_at, family,
    parameter_size, quantization, trained_context_tokens, capabilities. What is not told is None."""
    details = entry.get("details")
    details = details if isinstance(details, dict) else {}
    can = entry.get("capabilities")
    found = {
        "name": str(entry.get("name") or entry.get("model")),
        "digest": text_or_none(entry.get("digest")),
        "size_bytes": whole_or_none(entry.get("size")),
        "modified_at": text_or_none(entry.get("modified_at")),
        "family": text_or_none(details.get("family")),
        "parameter_size": text_or_none(details.get("parameter_size")),
        "quantization": text_or_none(details.get("quantization_level")),
        "trained_context_tokens": whole_or_none(details.get("context_length")) or None,
        "capabilities": [str(word) for word in can] if isinstance(can, list) else None,
    }
    return {key: cleaned(value) for key, value in found.items()}


def trained_context_tokens(api: OllamaApi, name: str) -> int | None:
    """The context in a model's header, None where the engine does not tell."""
    try:
        header = api.call("POST", "/api/show", {"model": name}).get("model_info")
    except RequestFailed:
        return None
    found = [value for key, value in header.items() if key.endswith(".context_length")] if isinstance(header, dict) else []
    return whole_or_none(found[0]) if found else None
