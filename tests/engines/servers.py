"""Engines on loopback for the tests: started on a free port, asked over HTTP, ended by their process id.

A server that is forgotten ends by itself: `timeout` stands before each.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIFE_S = 600
START_S = 120.0
ANSWER_S = 180.0
# Nothing of the caller's may decide how the engines behave.
STRIPPED = ("OLLAMA_", "LLAMA_", "GGML_", "CUDA_", "HIP_", "ROCR_", "OMP_", "LITELLM_")


class EngineError(Exception):
    """The engine does not answer as it should; the message has the end of its log."""


@dataclass(frozen=True)
class Server:
    """A running engine: where it answers, where its log is."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """The answer as plain data. Raises EngineError with what the engine said against it."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
                said = answer.read()
        except urllib.error.HTTPError as error:
            raise EngineError(f"{path}: {error.code} {error.read().decode(errors='replace')[:500]}") from error
        except OSError as error:
            raise EngineError(f"{path}: {error}; its log: {self.tail()}") from error
        return json.loads(said) if said else None

    def lines(self) -> list[str]:
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()

    def tail(self) -> str:
        return "\n".join(self.lines()[-15:])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(STRIPPED)}
    return {**kept, **more}


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


@contextmanager
def running(command: list[str], url: str, ready: str, log: Path, env: Mapping[str, str]) -> Iterator[Server]:
    """Start a server, wait until `ready` answers, and end it with what it started."""
    limited = ["timeout", "--foreground", "--kill-after=15", str(LIFE_S), *command]
    with log.open("wb") as stream:
        process = subprocess.Popen(limited, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment(env))
    server = Server(url, log, process)
    try:
        ends = time.monotonic() + START_S
        while not answers(url + ready):
            if process.poll() is not None or time.monotonic() > ends:
                raise EngineError(f"{command[0]} does not come up; its log: {server.tail()}")
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def llama_server(build: Path, model: Path, arguments: list[str], log: Path) -> Iterator[Server]:
    """llama-server as a user starts it, with a log that tells its buffers (verbosity 4)."""
    port = free_port()
    fixed = ["--host", "127.0.0.1", "--port", str(port), "--log-verbosity", "4", "--offline", "--no-webui"]
    command = [str(build / "bin" / "llama-server"), "--model", str(model), *fixed, *arguments]
    with running(command, f"http://127.0.0.1:{port}", "/health", log, {}) as server:
        yield server


@contextmanager
def ollama(build: Path, folder: Path, settings: Mapping[str, str]) -> Iterator[Server]:
    """Ollama with a store and a home of its own in `folder`; its log says every decision of the scheduler."""
    port, home = free_port(), folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    fixed = {
        "HOME": str(home),
        "OLLAMA_HOST": f"127.0.0.1:{port}",
        "OLLAMA_MODELS": str(folder / "models"),
        "OLLAMA_NO_CLOUD": "1",
        "OLLAMA_DEBUG": "1",
        "NO_PROXY": "127.0.0.1",
    }
    command = [str(build / "bin" / "ollama"), "serve"]
    log = folder / f"server-{port}.log"
    with running(command, f"http://127.0.0.1:{port}", "/api/version", log, {**fixed, **settings}) as server:
        yield server


def file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def create(server: Server, folder: Path, name: str, path: Path, parameters: Mapping[str, Any] | None = None) -> None:
    """Create a model from a file, which is linked into the store instead of being sent."""
    digest = file_digest(path)
    blob = folder / "models" / "blobs" / f"sha256-{digest}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    if not blob.exists():
        os.link(path, blob)
    wanted = {"model": name, "files": {path.name: f"sha256:{digest}"}, "stream": False}
    said = server.ask("/api/create", {**wanted, **({"parameters": dict(parameters)} if parameters else {})})
    if not said or said.get("status") != "success":
        raise EngineError(f"creating {name}: {said}; its log: {server.tail()}")


def blob_of(folder: Path, name: str) -> str:
    """Digest of the weights of a model of the store: ``sha256-…``, as the scheduler sorts them."""
    model, _colon, tag = name.partition(":")
    manifest = folder / "models" / "manifests" / "registry.ollama.ai" / "library" / model / (tag or "latest")
    layers = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
    return next(str(layer["digest"]).replace(":", "-") for layer in layers if layer["mediaType"].endswith("image.model"))
