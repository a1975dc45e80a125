# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An Ollama's own pull, followed to its end: errors inside a stream that began with 200, standstill, connections that break off.

Source: server/images.go and server/download.go of Ollama v0.33.0 (the same in v0.24.0): a new pull goes on where one ended.
"""

from __future__ import annotations

from typing import Any

from .connection import RequestFailed
from .ollama_api import OllamaApi
from .ollama_manifest import Manifest
from .store_write import all_layers
from .transfer_progress import Limits, ModelProblem, Progress

# Ollama says nothing while it hashes what it got; no disk is slower than this.
SLOWEST_DISK_BYTES_PER_S = 20e6
# Another attempt brings nothing else: these are the words of the registry, of the file system and of Ollama's own checks.
FINAL = (
    "412", "newer version", "does not exist", "not found", "unknown", "unauthorized", "denied", "insecure", "no space left",
    "read-only", "permission", "invalid", "unsupported", "no location header", "certificate", "server gave http response",
)  # fmt: skip


def pull(api: OllamaApi, name: str, insecure: bool, manifest: Manifest, limits: Limits, progress: Progress) -> None:
    """Let the engine pull a model; ``manifest``: what its registry has. Raises ModelProblem with what the engine says."""
    failures, done, first = 0, -1, True
    while True:
        attempt = _Attempt(api, name, manifest, limits, progress)
        try:
            attempt.run(insecure)
            return
        except RequestFailed as failure:
            words = _in_words(failure, api.url)
            failures = 1 if attempt.done_bytes > done else failures + 1
            done = max(done, attempt.done_bytes)
            if _is_final(failure, first):
                raise ModelProblem(f"the engine at {api.url} could not pull it: {words}") from None
            if failures >= limits.attempts:
                gone = failure.kind == "connect"
                check = f"that the engine at {api.url} runs" if gone else "the way from the engine to the registry"
                raise ModelProblem(
                    f"the pull broke off {failures} times in a row without a new byte ({words}): check {check}, "
                    "then run again; what was fetched is kept"
                ) from None
        first = False
        progress.event(f"the pull broke off ({words}); trying again")
        limits.pause(failures)


def _is_final(failure: RequestFailed, first: bool) -> bool:
    said = failure.message.lower()
    # An engine that pulled already and cannot be reached now is being restarted.
    if failure.kind == "connect":
        return first
    return failure.kind in ("http", "malformed") or any(words in said for words in FINAL)


def _in_words(failure: RequestFailed, url: str) -> str:
    said = failure.message
    if "412" in said or "newer version" in said:
        return f"{said}: raise the version of the engine at {url}, or take another model"
    if "no location header" in said.lower():
        return f"{said}: Ollama pulls only from registries that answer blobs with Location; name this one as mirror instead"
    return said


class _Attempt:
    """One request to pull."""

    def __init__(self, api: OllamaApi, name: str, manifest: Manifest, limits: Limits, progress: Progress) -> None:
        self._api = api
        self._name = name
        self._manifest = manifest
        self._limits = limits
        self._progress = progress
        self._sizes = {layer.digest: layer.size_bytes for layer in all_layers(manifest)}
        self._bytes: dict[str, int] = {}
        self._moved_left_s = limits.left_s()
        self._hashing = False

    @property
    def done_bytes(self) -> int:
        return sum(self._bytes.values())

    def run(self, insecure: bool) -> None:
        """Raises RequestFailed unless the last line says success."""
        self._progress.begin("pulling", self._manifest.total_bytes)
        last: dict[str, Any] = {}
        body = {"model": self._name, "insecure": insecure}
        for event in self._api.stream("/api/pull", body, self._limits.silence_s(), self._silence_s):
            last = event
            self._take(event)
        if last.get("status") != "success":
            raise RequestFailed("truncated", f"the engine's answer ended with {str(last.get('status'))[:80]!r}, expected success")

    def _silence_s(self) -> float:
        """While bytes come, a line comes every 60 ms; while they are hashed, none."""
        hashing_s = self._manifest.total_bytes / SLOWEST_DISK_BYTES_PER_S if self._hashing else 0.0
        return min(self._limits.stall_s + hashing_s, self._limits.left_s())

    def _take(self, event: dict[str, Any]) -> None:
        digest, completed = event.get("digest"), event.get("completed", 0)
        if isinstance(digest, str) and isinstance(completed, int) and digest in self._sizes:
            self._move(digest, completed)
        elif not self._hashing and str(event.get("status", "")).startswith("verifying"):
            self._hashing = True
            self._progress.begin("verifying")
        if not self._hashing and self._moved_left_s - self._limits.left_s() > self._limits.stall_s:
            raise RequestFailed("timeout", f"not one byte came in {self._limits.stall_s:g} s")

    def _move(self, digest: str, completed: int) -> None:
        if completed != self._bytes.get(digest):
            self._bytes[digest] = completed
            self._moved_left_s = self._limits.left_s()
        self._progress.moved(self.done_bytes)
