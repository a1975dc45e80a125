"""An Ollama on loopback for the tests of what is done with its models: it shows what lies in a store, and pulls as it is told."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from plugins.module_utils.ollama_manifest import parse_manifest
from plugins.module_utils.ollama_names import parse_model_name
from tests.scripted_engine import Asked, Script, ScriptedEngine, chunked, reply


class FakeOllama:
    """``pulls``: what each request to pull is answered, one after the other; ``shown``: what /api/show says, by name."""

    def __init__(self, store: Path, version: str = "0.33.0") -> None:
        self.store = store
        self.version = version
        self.pulls: list[Script] = []
        self.shown: dict[str, dict[str, Any]] = {}
        self.created: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.sent: set[str] = set()
        self.engine = ScriptedEngine(self.answer)
        self.url = self.engine.url

    def __enter__(self) -> FakeOllama:
        return self

    def __exit__(self, *_error: object) -> None:
        self.engine.stop()

    def asked(self, path: str) -> list[Asked]:
        return [asked for asked in self.engine.asked if asked.path == path]

    def answer(self, asked: Asked) -> Script:
        if asked.path.startswith("/api/blobs/"):
            return [reply({}, "200 OK" if self.has(asked.path.rpartition("/")[2]) else "404 Not Found")]
        if asked.path == "/api/pull":
            return self.pulls.pop(0)
        if asked.path == "/api/version":
            return [reply({"version": self.version})]
        return [getattr(self, asked.path.rpartition("/")[2])(asked.body)]

    def has(self, digest: str) -> bool:
        return digest in self.sent or (self.store / "blobs" / digest.replace(":", "-")).exists()

    def tags(self, _body: Any) -> bytes:
        models = []
        for path in sorted((self.store / "manifests").glob("*/*/*/*")):
            data = path.read_bytes()
            host, namespace, model, tag = path.relative_to(self.store / "manifests").parts
            size = parse_manifest(data, model).total_bytes
            name = f"{host}/{namespace}/{model}:{tag}".removeprefix("registry.ollama.ai/").removeprefix("library/")
            models.append({"name": name, "digest": hashlib.sha256(data).hexdigest(), "size": size})
        return reply({"models": models})

    def ps(self, _body: Any) -> bytes:
        return reply({"models": []})

    def show(self, body: dict[str, Any]) -> bytes:
        found = self.shown.get(short(body["model"]))
        return reply(found) if found is not None else reply({"error": "model not found"}, "404 Not Found")

    def create(self, body: dict[str, Any]) -> bytes:
        self.created.append(body)
        install(self.store, body["model"], json.dumps(body).encode())
        return reply(b'{"status":"success"}\n')

    def delete(self, body: dict[str, Any]) -> bytes:
        name = parse_model_name(body["model"])
        path = self.store / "manifests" / name.host / name.namespace / name.model / name.tag
        if not path.exists():
            return reply({"error": "model not found"}, "404 Not Found")
        path.unlink()
        self.deleted.append(str(name))
        return reply(b"")


def short(text: str) -> str:
    return str(parse_model_name(text)).removeprefix("registry.ollama.ai/library/").removesuffix(":latest")


def install(store: Path, text: str, weights: bytes, **layers: bytes) -> str:
    """Put a model into a store by hand; returns the digest of its manifest."""
    listed = []
    for kind, data in {"model": weights, **layers}.items():
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        blob = store / "blobs" / digest.replace(":", "-")
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        listed.append({"mediaType": f"application/vnd.ollama.image.{kind}", "digest": digest, "size": len(data)})
    data = json.dumps({"schemaVersion": 2, "layers": listed}).encode()
    name = parse_model_name(text)
    path = store / "manifests" / name.host / name.namespace / name.model / name.tag
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def pulled(*events: dict[str, Any], end: dict[str, Any] | None = None) -> Script:
    """The answer to a pull: its lines, and success behind them."""
    lines = [*events, {"status": "success"} if end is None else end]
    return chunked([json.dumps(line).encode() + b"\n" for line in lines])
