"""A web server on loopback that answers as a test wants it: with ranges or without, redirecting, slow, cut off, guarded."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socketserver
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

PIECE_BYTES = 65_536
GGUF_LAYER = "application/vnd.ollama.image.model"


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it; ``path`` with its query, names in ``headers`` in lower case."""

    path: str
    headers: Mapping[str, str]

    @property
    def first_byte(self) -> int | None:
        match = self._range()
        return int(match[1]) if match else None

    @property
    def last_byte(self) -> int | None:
        """None also where everything from the first byte on is asked for."""
        match = self._range()
        return int(match[2]) if match and match[2] else None

    def _range(self) -> re.Match[str] | None:
        return re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))


@dataclass(frozen=True)
class Reply:
    """``length`` False: no Content-Length, the end is that of the connection. ``cut_bytes``: the connection breaks after so many
    of the body. ``pause_s``: before each byte of the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: bool = True
    cut_bytes: int | None = None
    pause_s: float = 0.0


Route = Callable[[Asked], Reply]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Without asking the resolver for the machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]


class WebServer:
    """``routes``: what is answered under a path (without query); a path that is not there is answered 404."""

    def __init__(self, routes: Mapping[str, Route | Reply] | None = None, context: ssl.SSLContext | None = None) -> None:
        self.routes: dict[str, Route | Reply] = dict(routes or {})
        self.asked: list[Asked] = []
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"{'https' if context else 'http'}://{self.host}"
        threading.Thread(target=self._server.serve_forever, args=(0.001,), daemon=True).start()

    def __enter__(self) -> WebServer:
        return self

    def __exit__(self, *_error: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def reply(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        route = self.routes.get(asked.path if asked.path in self.routes else urlsplit(asked.path).path, Reply(404))
        return route if isinstance(route, Reply) else route(asked)


def _handler(server: WebServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        # Head and body are sent one after the other, without waiting for each other's receipt.
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            reply = server.reply(Asked(self.path, {name.lower(): value for name, value in self.headers.items()}))
            # Nobody reads to the end of what is longer than needed.
            with contextlib.suppress(OSError):
                self.send(reply)
            self.close_connection = True

        def send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            if reply.length:
                self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            body = reply.body if reply.cut_bytes is None else reply.body[: reply.cut_bytes]
            step = 1 if reply.pause_s else PIECE_BYTES
            for begin in range(0, len(body), step):
                if reply.pause_s and server.over.wait(reply.pause_s):
                    return
                self.wfile.write(body[begin : begin + step])

        def log_message(self, *_arguments: Any) -> None:
            pass

    return Handler


def ranged(data: bytes, headers: Mapping[str, str] | None = None, total_bytes: int | None = None) -> Route:
    """A file whose server knows ranges; ``total_bytes`` where the file is larger than ``data``, with zeros behind it."""
    size = total_bytes or len(data)

    def route(asked: Asked) -> Reply:
        if asked.first_byte is None:
            return Reply(200, data, headers or {})
        if asked.first_byte >= size:
            return Reply(416)
        last = size - 1 if asked.last_byte is None else min(asked.last_byte, size - 1)
        body = data[asked.first_byte : last + 1].ljust(last + 1 - asked.first_byte, b"\0")
        return Reply(206, body, {"Content-Range": f"bytes {asked.first_byte}-{last}/{size}", **(headers or {})})

    return route


def redirect(target: str, status: int = 307, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, b"", {"Location": target, **(headers or {})})


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(kind: str, data: bytes, **changes: Any) -> dict[str, Any]:
    """A layer of a manifest in Ollama's own types."""
    said = {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": digest_of(data), "size": len(data)}
    return {**said, **changes}


def manifest(layers: list[dict[str, Any]], config: bytes | None = None) -> bytes:
    config_layer = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest_of(config or b""), "size": 0}
    said = {"schemaVersion": 2, "layers": layers, "config": {**config_layer, "size": len(config or b"")}}
    return json.dumps(said if config is not None else {**said, "config": {}}).encode()


def registry(
    repository: str, tag: str, blobs: Mapping[str, list[bytes]], config: bytes | None = None
) -> dict[str, Route | Reply]:
    """The routes of a registry that has one model, its layers by kind."""
    data = manifest([layer(kind, blob) for kind, listed in blobs.items() for blob in listed], config)
    routes: dict[str, Route | Reply] = {
        f"/v2/{repository}/blobs/{digest_of(blob)}": ranged(blob)
        for listed in [*blobs.values(), [config or b""]]
        for blob in listed
    }
    routes[f"/v2/{repository}/manifests/{tag}"] = Reply(200, data, {"Docker-Content-Digest": digest_of(data)})
    return routes
