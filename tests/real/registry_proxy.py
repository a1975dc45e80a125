"""A second address of a registry: adds the Location header that Ollama wants on blobs, counts what goes out, slows down or cuts.

Ollama's pull needs ``Location`` in the answer to a GET of a blob, also in one of status 200 (server/download.go of v0.24.0 and
v0.33.0); distribution's registry sends none. As a program it runs until it is ended; the counts are written after every reply:

    python -m tests.real.registry_proxy --registry http://127.0.0.1:5000 --listen 127.0.0.1:5001 --counts counts.json

The counts are a JSON object: path -> {"requests": number, "bytes": bytes of bodies that were sent}.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import select
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

BLOB = re.compile(r"/v2/.+/blobs/sha256:[0-9a-f]{64}")
PIECE_BYTES = 65_536
ANSWER_S = 60.0
# Ollama asks for a blob once only to see its Location, and closes; what lies in the socket by then was not for anybody.
GLANCE_S = 0.2
NOT_ASKED = ("connection", "content-length")
NOT_PASSED_ON = ("connection", "keep-alive", "transfer-encoding", "content-length", "location", "date", "server")


@dataclass
class Counts:
    """Bytes of bodies and number of requests by path; ``file``: where they are written after every reply."""

    file: Path | None = None
    paths: dict[str, dict[str, int]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, path: str, requests: int, sent_bytes: int) -> None:
        with self.lock:
            counted = self.paths.setdefault(path, {"requests": 0, "bytes": 0})
            counted["requests"] += requests
            counted["bytes"] += sent_bytes

    def write(self) -> None:
        if self.file is None:
            return
        with self.lock:
            unfinished = self.file.with_name(self.file.name + ".unfinished")
            unfinished.write_text(json.dumps(self.paths, indent=1, sort_keys=True) + "\n")
            os.replace(unfinished, self.file)

    @property
    def blob_bytes(self) -> int:
        """Bytes of all blobs together."""
        with self.lock:
            return sum(counted["bytes"] for path, counted in self.paths.items() if BLOB.fullmatch(path))


@dataclass
class Behaviour:
    """What is done to blobs; may be changed while the proxy runs.

    ``bytes_per_s``: how fast one reply is, None: as fast as it goes. ``cut_after_bytes``: the connection of every reply is broken
    after so many bytes. ``stall_after_bytes``: nothing more is sent after so many bytes until the proxy ends.
    """

    bytes_per_s: float | None = None
    cut_after_bytes: int | None = None
    stall_after_bytes: int | None = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def server_bind(self) -> None:
        """Without asking the resolver for the machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]


class RegistryProxy:
    """``registry``: host:port or http address of the registry; ``host``: host:port of this second address of it."""

    def __init__(self, registry: str, listen: tuple[str, int] = ("127.0.0.1", 0), counts_file: Path | None = None) -> None:
        self.target = urlsplit(registry if "://" in registry else f"http://{registry}").netloc
        self.counts = Counts(counts_file)
        self.behaviour = Behaviour()
        self.over = threading.Event()
        self._server = _Server(listen, type("Handler", (_Handler,), {"proxy": self}))
        self.host = f"{listen[0]}:{self._server.server_port}"
        self.url = f"http://{self.host}"

    def serve(self) -> None:
        """Answer until ``stop``."""
        self._server.serve_forever(0.05)

    def stop(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def proxied(registry: str, counts_file: Path | None = None) -> Iterator[RegistryProxy]:
    """A proxy on a free port of loopback, until the end of the ``with``."""
    proxy = RegistryProxy(registry, counts_file=counts_file)
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.stop()


def paced(reply: http.client.HTTPResponse, proxy: RegistryProxy, is_blob: bool) -> Iterator[bytes]:
    """A body, of a blob as slow and as short as the proxy is to behave."""
    behaviour = proxy.behaviour if is_blob else Behaviour()
    sent_bytes, began_s = 0, time.monotonic()
    while piece := reply.read(PIECE_BYTES):
        if behaviour.cut_after_bytes is not None:
            piece = piece[: max(0, behaviour.cut_after_bytes - sent_bytes)]
        if behaviour.stall_after_bytes is not None and sent_bytes >= behaviour.stall_after_bytes:
            proxy.over.wait()
        if not piece:
            return
        sent_bytes += len(piece)
        yield piece
        if behaviour.bytes_per_s:
            proxy.over.wait(max(0.0, began_s + sent_bytes / behaviour.bytes_per_s - time.monotonic()))


class _Handler(BaseHTTPRequestHandler):
    proxy: RegistryProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def forward(self) -> None:
        counts, path = self.proxy.counts, urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
        headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_ASKED}
        connection = http.client.HTTPConnection(self.proxy.target, timeout=ANSWER_S)
        self.close_connection = True
        counts.add(path, 1, 0)
        try:
            connection.request(self.command, self.path, body, headers)
            reply = connection.getresponse()
            self.begin(path, reply)
            for piece in self.pieces(path, reply):
                self.wfile.write(piece)
                counts.add(path, 0, len(piece))
        except OSError:
            # Either side went away; whoever waits sees it by itself.
            return
        finally:
            connection.close()
            counts.write()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = forward

    def begin(self, path: str, reply: http.client.HTTPResponse) -> None:
        """The status line and the headers, with the Location of this address."""
        self.send_response_only(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in NOT_PASSED_ON:
                self.send_header(name, value)
        length, location = reply.getheader("Content-Length"), reply.getheader("Location")
        if length is not None:
            self.send_header("Content-Length", length)
        here = f"http://{self.headers.get('Host') or self.proxy.host}"
        if location is not None:
            self.send_header("Location", location.replace(f"http://{self.proxy.target}", here))
        elif BLOB.fullmatch(path) and self.command == "GET" and reply.status in (200, 206):
            self.send_header("Location", f"{here}{self.path}")
        self.send_header("Connection", "close")
        self.end_headers()

    def pieces(self, path: str, reply: http.client.HTTPResponse) -> Iterator[bytes]:
        is_blob = bool(BLOB.fullmatch(path)) and self.command == "GET"
        if is_blob and not self.headers.get("Range") and select.select([self.connection], [], [], GLANCE_S)[0]:
            return iter(())
        return paced(reply, self.proxy, is_blob)

    def log_message(self, *_arguments: Any) -> None:
        pass


def main() -> None:
    """The proxy as a program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--registry", required=True, help="address of the registry, such as http://127.0.0.1:5000")
    parser.add_argument("--listen", required=True, help="ADDRESS:PORT")
    parser.add_argument("--counts", type=Path, help="file for the counts")
    parser.add_argument("--bytes-per-s", type=float, help="how fast one blob is sent")
    parser.add_argument("--cut-after-bytes", type=int, help="break the connection of every blob after so many bytes")
    arguments = parser.parse_args()
    address, _colon, port = arguments.listen.rpartition(":")
    proxy = RegistryProxy(arguments.registry, (address.strip("[]"), int(port)), arguments.counts)
    proxy.behaviour.bytes_per_s, proxy.behaviour.cut_after_bytes = arguments.bytes_per_s, arguments.cut_after_bytes
    proxy.counts.write()
    proxy.serve()


if __name__ == "__main__":
    main()
