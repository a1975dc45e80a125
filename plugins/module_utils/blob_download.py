# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetches the files of a model from a registry, a mirror or a share straight into an engine's store.

A transfer that breaks off goes on where it ended, now or in the next run; nothing gets its name before its sha256 is right.
"""

from __future__ import annotations

from typing import Callable

from .gguf_bytes import GgufError
from .http_client import Answer
from .http_range import CONTENT_RANGE, LENGTH
from .ollama_manifest import Layer, Manifest
from .registry_source import Source
from .store_write import Partial, Store, all_layers
from .transfer_progress import Limits, Progress

PIECE_BYTES = 2**20


class WrongAnswer(GgufError):
    """A server that does not have what the manifest says: asking again brings nothing else."""


def fetch_model(source: Source, manifest: Manifest, data: bytes, store: Store, limits: Limits, progress: Progress) -> int:
    """Have all blobs of a model in the store, then its manifest, whose bytes are ``data``.

    Returns the bytes that were received. Raises GgufError where the source does not give it, ModelProblem where nobody could.
    """
    layers = all_layers(manifest)
    done = sum(layer.size_bytes for layer in layers if store.has(layer))
    received = 0
    progress.begin(f"fetching from {source.place}", manifest.total_bytes, done)
    for layer in layers:
        if store.has(layer):
            continue
        before = done

        def moved(size_bytes: int, before: int = before) -> None:
            progress.moved(before + size_bytes)

        received += fetch_blob(source, layer, store, limits, moved)
        done += layer.size_bytes
    store.write_manifest(source.name, data)
    return received


def fetch_blob(source: Source, layer: Layer, store: Store, limits: Limits, moved: Callable[[int], None]) -> int:
    """Have one blob in the store; returns the bytes received. ``moved`` is told how many are there. Raises as fetch_model."""
    while True:
        with store.partial(layer) as partial:
            if store.has(layer):
                return 0
            if not partial.busy:
                return _Fetch(source, layer, store, limits, moved, partial).whole()
        # Another run has it, perhaps one whose controller went away: it is waited for and not disturbed.
        limits.pause(0)


class _Fetch:
    """One blob on its way."""

    def __init__(
        self, source: Source, layer: Layer, store: Store, limits: Limits, moved: Callable[[int], None], partial: Partial
    ) -> None:
        self._source = source
        self._layer = layer
        self._store = store
        self._limits = limits
        self._moved = moved
        self._partial = partial
        self._received = 0

    def whole(self) -> int:
        resumed = self._partial.size_bytes > 0
        if self._partial.size_bytes > self._layer.size_bytes:
            self._partial.restart()
        self._receive_all()
        if not self._is_right() and resumed:
            # What an earlier run left may be what is wrong.
            self._partial.restart()
            self._receive_all()
        if not self._is_right():
            got = self._partial.sha256
            self._partial.restart()
            raise self._wrong(f"its content has sha256 {got[:12]}…", "push the model there again")
        self._store.keep(self._layer, self._partial)
        return self._received

    def _is_right(self) -> bool:
        return self._layer.digest.lower() == f"sha256:{self._partial.sha256}"

    def _receive_all(self) -> None:
        """Ask until all is there. Only what brings the file further than it ever was is progress: a server without ranges may
        begin anew each time."""
        failures, furthest = 0, self._partial.size_bytes
        while self._partial.size_bytes < self._layer.size_bytes:
            problem: GgufError | None = None
            try:
                self._receive()
            except WrongAnswer:
                raise
            except GgufError as error:
                problem = error
            moved = self._partial.size_bytes > furthest
            furthest = max(furthest, self._partial.size_bytes)
            if moved and problem is None:
                failures = 0
                continue
            failures = 1 if moved else failures + 1
            if failures >= self._limits.attempts:
                raise problem or self._without_progress(failures)
            self._limits.pause(failures)

    def _without_progress(self, answers: int) -> GgufError:
        return GgufError(
            f"{self._source.place}: got {answers} answers in a row without a new byte of {self._layer.digest[:19]}…, expected "
            f"those from {self._partial.size_bytes} on: check the server and the way to it"
        )

    def _receive(self) -> None:
        """One request and its answer, as far as it goes."""
        begin = self._partial.size_bytes
        answer = self._source.blob(self._layer.digest, {"Range": f"bytes={begin}-"}, self._limits.silence_s())
        try:
            end = self._judged(answer, begin)
            while self._partial.size_bytes < end:
                self._source.client.clock.start(self._limits.silence_s())
                piece = self._source.client.read(answer, min(PIECE_BYTES, end - self._partial.size_bytes))
                if not piece:
                    raise GgufError(f"{self._source.place}: broke off after {self._partial.size_bytes} bytes: run again")
                self._partial.append(piece)
                self._received += len(piece)
                self._moved(self._partial.size_bytes)
            # Where the length is said it was compared, and what follows belongs to nothing.
            if "content-length" not in answer.headers and self._source.client.read(answer, 1):
                self._partial.restart()
                raise self._wrong("it sent more bytes", "push the model there again")
        finally:
            answer.body.close()

    def _judged(self, answer: Answer, begin: int) -> int:
        """Where the body of an answer ends in the file. Raises WrongAnswer, or GgufError where another attempt may help."""
        if answer.status == 206:
            said = answer.headers.get("content-range", "").strip()
            match = CONTENT_RANGE.fullmatch(said)
            if match is None or int(match["first"]) != begin or match["total"] not in ("*", str(self._layer.size_bytes)):
                raise self._wrong(f"got Content-Range {said[:60]!r} to a request from byte {begin}", "push the model there again")
            return min(int(match["last"]) + 1, self._layer.size_bytes)
        if answer.status == 200:
            length = answer.headers.get("content-length", "")
            if LENGTH.fullmatch(length) and int(length) != self._layer.size_bytes:
                raise self._wrong(f"it has {length} bytes", "push the model there again")
            if begin:
                self._partial.restart()
            return self._layer.size_bytes
        refusal = self._source.client.refusal(answer)
        if answer.status == 429 or answer.status >= 500:
            raise refusal
        raise WrongAnswer(str(refusal))

    def _wrong(self, problem: str, remedy: str) -> WrongAnswer:
        expected = f"expected {self._layer.size_bytes} bytes with {self._layer.digest[:19]}…"
        return WrongAnswer(
            f"{self._source.place}: {self._layer.kind} layer of {self._source.name}: {problem}, {expected}: {remedy}"
        )
