"""A real registry: distribution's, from Debian's package docker-registry, unpacked into the user's cache and run on loopback.

HOMELAB_LLM_TEST_REGISTRY names the program where it is elsewhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "homelab-llm" / "registry"
PACKAGE = "docker-registry"
READY_S = 30.0


class Unavailable(Exception):
    """No registry can be had here; the message says why."""


def program() -> str:
    """Path of the registry's program."""
    named = os.environ.get("HOMELAB_LLM_TEST_REGISTRY") or shutil.which(PACKAGE)
    kept = CACHE / "usr" / "bin" / PACKAGE
    if named or kept.is_file():
        return named or str(kept)
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise Unavailable(f"{PACKAGE} is not here, and there is no {tool} to get it with")
    CACHE.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(
        ["apt-get", "download", PACKAGE], cwd=CACHE, capture_output=True, text=True, timeout=120, check=False
    )
    packages = sorted(CACHE.glob("*.deb"))
    if fetched.returncode or not packages:
        raise Unavailable(f"apt-get could not download {PACKAGE}: {fetched.stderr.strip()[-200:]}")
    subprocess.run(["dpkg-deb", "--extract", packages[-1], CACHE], timeout=120, check=True)
    return str(kept)


@dataclass(frozen=True)
class Registry:
    """A running registry; ``root``: where it keeps what was pushed."""

    host: str
    root: Path

    def push(self, repository: str, tag: str, blobs: Mapping[str, list[bytes]], config: bytes = b"{}") -> None:
        """Push a model as Ollama does: its layers by kind, its configuration, its manifest."""
        for blob in [config, *(blob for listed in blobs.values() for blob in listed)]:
            self.push_blob(repository, blob)
        layers = [
            _layer(f"application/vnd.ollama.image.{kind}", _digest(blob), len(blob))
            for kind, listed in blobs.items()
            for blob in listed
        ]
        self.push_manifest(repository, tag, layers, config)

    def push_blob(self, repository: str, blob: bytes) -> None:
        begun = self._send("POST", f"/v2/{repository}/blobs/uploads/", b"", 202)
        location = begun.removeprefix(f"http://{self.host}")
        self._send("PUT", f"{location}{'&' if '?' in location else '?'}digest={_digest(blob)}", blob, 201)

    def push_manifest(self, repository: str, tag: str, layers: list[dict[str, Any]], config: bytes) -> None:
        config_layer = _layer("application/vnd.docker.container.image.v1+json", _digest(config), len(config))
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        said = {"schemaVersion": 2, "mediaType": kind, "config": config_layer, "layers": layers}
        self._send("PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(said).encode(), 201, {"Content-Type": kind})

    def _send(self, method: str, path: str, body: bytes, expected: int, headers: Mapping[str, str] | None = None) -> str:
        connection = http.client.HTTPConnection(self.host, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            said = reply.read()
        assert reply.status == expected, f"{method} {path}: {reply.status} {said[:500]!r}"
        return reply.headers.get("Location", "")

    def place(self, repository: str, tag: str, head: bytes, file_bytes: int) -> None:
        """Make a model of any size as if it had been pushed: its file lies sparse in the registry's own layout of files."""
        self.push_blob(repository, b"{}")
        data = self.root / "unfinished"
        with data.open("wb") as stream:
            stream.write(head)
            stream.truncate(file_bytes)
        digest = _digest_with_zeros(head, file_bytes)
        algorithm, _colon, value = digest.partition(":")
        storage = self.root / "docker" / "registry" / "v2"
        blob = storage / "blobs" / algorithm / value[:2] / value / "data"
        link = storage / "repositories" / repository / "_layers" / algorithm / value / "link"
        blob.parent.mkdir(parents=True)
        link.parent.mkdir(parents=True)
        data.rename(blob)
        link.write_text(digest)
        self.push_manifest(repository, tag, [_layer("application/vnd.ollama.image.model", digest, file_bytes)], b"{}")


def _layer(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _digest_with_zeros(head: bytes, total_bytes: int) -> str:
    """The digest of a file that has only zeros behind its beginning."""
    digest, zeros, left = hashlib.sha256(head), bytes(2**20), total_bytes - len(head)
    while left:
        digest.update(zeros[: min(left, len(zeros))])
        left -= min(left, len(zeros))
    return "sha256:" + digest.hexdigest()


@contextlib.contextmanager
def running(folder: Path, settings: Mapping[str, Any] | None = None) -> Iterator[Registry]:
    """A registry with its files in ``folder``, until the end of the ``with``.

    ``settings``: more of its configuration, by section. Raises Unavailable where there is none.
    """
    path = program()
    port = _free_port()
    http_settings = {"addr": f"127.0.0.1:{port}", "secret": "test", **((settings or {}).get("http") or {})}
    root = folder / "storage"
    root.mkdir()
    configuration = {
        "version": 0.1, "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(root)}}, **(settings or {}), "http": http_settings,
    }  # fmt: skip
    # JSON is YAML.
    (folder / "config.yml").write_text(json.dumps(configuration))
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([path, "serve", str(folder / "config.yml")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _await_port(process, port, folder / "registry.log")
        yield Registry(f"127.0.0.1:{port}", root)
    finally:
        process.terminate()
        process.wait(20)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    ends = time.monotonic() + READY_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > ends:
            raise AssertionError(f"the registry does not start: {log.read_text(errors='replace')[-1000:]}")
        time.sleep(0.05)
