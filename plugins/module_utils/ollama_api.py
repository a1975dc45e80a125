# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ollama's own HTTP API, outside any timing: one call each, its errors by kind, also those inside a stream that began with 200.

Source: server/routes.go of Ollama v0.33.0 (the same in v0.24.0).
"""

from __future__ import annotations

import http.client
import json
from typing import Any, Callable, Iterable, Iterator

from .connection import Endpoint, RequestFailed
from .events import error_text
from .stream import excerpt, pieces, read_all, translated

ANSWER_LIMIT_S = 30.0
# Longer than any line of a stream.
LINE_LIMIT_BYTES = 2**20


class OllamaApi:
    """One Ollama. ``url`` without /v1. Every method raises RequestFailed; a status other than 200 has kind ``http``."""

    def __init__(self, url: str, answer_limit_s: float = ANSWER_LIMIT_S) -> None:
        self.url = url.rstrip("/")
        self.answer_limit_s = answer_limit_s

    def get(self, path: str) -> dict[str, Any]:
        """The object that a GET answers."""
        return self.call("GET", path)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, limit_s: float | None = None) -> dict[str, Any]:
        """The object that a request answers; an empty answer is an empty object."""
        endpoint = Endpoint(self.url)
        try:
            response = self._begun(endpoint, method, path, body, limit_s)
            text = read_all(response, endpoint.clock)
        finally:
            endpoint.close()
        if response.status != 200:
            raise RequestFailed("http", f"{method} {path}: status {response.status}: {excerpt(text)}", response.status)
        return _object(text, f"{method} {path}") if text.strip() else {}

    def has_blob(self, digest: str) -> bool:
        """Whether the engine has a blob; ``digest`` begins with "sha256:"."""
        try:
            self.call("HEAD", f"/api/blobs/{digest}")
        except RequestFailed as failure:
            if failure.status != 404:
                raise
            return False
        return True

    def send_blob(self, digest: str, content: Iterable[bytes], limit_s: float) -> None:
        """Give the engine a blob that it does not have: it answers one that it has unread and resets the connection."""
        path = f"/api/blobs/{digest}"
        endpoint = Endpoint(self.url)
        try:
            endpoint.open()
            with translated(endpoint.clock):
                endpoint.start("POST", path, content, limit_s)
                response = endpoint.response()
            text = read_all(response, endpoint.clock)
        finally:
            endpoint.close()
        if response.status not in (200, 201):
            raise RequestFailed("http", f"POST {path}: status {response.status}: {excerpt(text)}", response.status)

    def stream(
        self, path: str, body: dict[str, Any], limit_s: float, silence_s: Callable[[], float] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The objects of a POST that answers one per line, as they come. One with ``error`` is raised, of kind ``engine``.

        ``limit_s``: for all of it, with ``silence_s`` until the first; that says how long the next may take.
        """
        endpoint = Endpoint(self.url)
        try:
            response = self._begun(endpoint, "POST", path, {**body, "stream": True}, limit_s)
            if response.status != 200:
                text = read_all(response, endpoint.clock)
                raise RequestFailed("http", f"POST {path}: status {response.status}: {excerpt(text)}", response.status)
            for line in _lines(pieces(response, endpoint.clock, limited=False)):
                event = _object(line, f"POST {path}")
                if event.get("error"):
                    raise RequestFailed("engine", f"POST {path}: {error_text(event['error'])}", response.status)
                yield event
                if silence_s is not None:
                    endpoint.clock.start(silence_s())
        finally:
            endpoint.close()

    def _begun(
        self, endpoint: Endpoint, method: str, path: str, body: dict[str, Any] | None, limit_s: float | None
    ) -> http.client.HTTPResponse:
        payload = None if body is None else json.dumps(body).encode()
        endpoint.open()
        with translated(endpoint.clock):
            endpoint.start(method, path, payload, limit_s or self.answer_limit_s)
            return endpoint.response()


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Whole lines out of pieces that end anywhere; empty ones are left out."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_LIMIT_BYTES:
            raise RequestFailed("malformed", f"a line is longer than {LINE_LIMIT_BYTES} bytes")
        yield from (line.decode("utf-8", "replace") for line in whole if line.strip())
    if rest.strip():
        yield rest.decode("utf-8", "replace")


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestFailed("malformed", f"{what}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RequestFailed("malformed", f"{what}: got {type(value).__name__}; expected an object")
    return value
