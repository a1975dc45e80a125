# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small registry server that only reads: some models of a store, for one address that knows a token, for a limited time.

``/v2/<host>/<namespace>/<model>/manifests/<tag>`` and ``…/blobs/sha256:<hex>``, with Range, as distribution's registry answers
them. A path is only ever looked up in the table of what is shared; no part of it becomes the name of a file.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import os
import re
import socket
import socketserver
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, Mapping

from .ollama_manifest import MANIFEST_TYPE, parse_manifest
from .ollama_names import ModelName
from .ollama_store import blob_path, manifest_bytes
from .registry_source import shared_repository
from .store_write import all_layers

# A client that takes nothing for so long is gone.
CLIENT_S = 60.0
LOOK_S = 0.25
MOST_CLIENTS = 16
RANGE = re.compile(r"bytes=(?P<first>\d{1,19})-(?P<last>\d{0,19})")


@dataclass(frozen=True)
class Shared:
    """What is given away: manifests and files by the path that is asked for."""

    manifests: Mapping[str, bytes]
    files: Mapping[str, str]


def shared_models(models_directory: str, names: list[ModelName]) -> Shared:
    """Some models of a store, with their manifests as they stand now. Raises GgufError where one is not there."""
    manifests: dict[str, bytes] = {}
    files: dict[str, str] = {}
    for name in names:
        data = manifest_bytes(models_directory, name)
        manifest = parse_manifest(data, str(name))
        base = f"/v2/{shared_repository(name)}"
        for reference in (name.tag, f"sha256:{manifest.digest}"):
            manifests[f"{base}/manifests/{reference}"] = data
        for layer in all_layers(manifest):
            files[f"{base}/blobs/{layer.digest}"] = blob_path(models_directory, layer.digest)
    return Shared(manifests, files)


class ShareServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens from the start; ``serve`` answers until nobody has asked for ``idle_s``, ``limit_s`` are over, or ``end``."""

    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False

    def __init__(self, place: tuple[str, int], allowed: str, token: str, shared: Shared, idle_s: float, limit_s: float) -> None:
        self.address_family = socket.AF_INET6 if ipaddress.ip_address(place[0]).version == 6 else socket.AF_INET
        self.shared = shared
        self.timeout = LOOK_S
        self._allowed = _plain_address(allowed)
        self._expected = f"Bearer {token}".encode()
        self._idle_s = idle_s
        self._ends_s = time.monotonic() + limit_s
        self._lock = threading.Lock()
        self._running = 0
        self._last_s = time.monotonic()
        self._ended = False
        super().__init__(place, _Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def serve(self) -> None:
        """Answer until it is over."""
        while not self._is_over():
            self.handle_request()
        self.server_close()

    def end(self) -> None:
        self._ended = True

    def verify_request(self, _request: Any, client_address: Any) -> bool:
        """Others get no answer at all."""
        return _plain_address(client_address[0]) == self._allowed and self._running < MOST_CLIENTS

    def knows(self, authorization: str) -> bool:
        return hmac.compare_digest(authorization.encode("utf-8", "replace"), self._expected)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._count(1)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._count(-1)

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """A client that went away is nothing to tell of."""

    def _count(self, more: int) -> None:
        with self._lock:
            self._running += more
            self._last_s = time.monotonic()

    def _is_over(self) -> bool:
        now = time.monotonic()
        with self._lock:
            idle = not self._running and now - self._last_s > self._idle_s
        return self._ended or idle or now > self._ends_s


def _plain_address(text: str) -> str:
    """An address in its one spelling; IPv4 inside IPv6 is IPv4. Raises ValueError where it is none."""
    address = ipaddress.ip_address(text.split("%", 1)[0])
    return str(getattr(address, "ipv4_mapped", None) or address)


class _Handler(BaseHTTPRequestHandler):
    server: ShareServer
    protocol_version = "HTTP/1.1"
    server_version = "homelab-llm-share"
    sys_version = ""
    timeout = CLIENT_S
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, *_arguments: Any) -> None:
        pass

    def _answer(self, with_body: bool) -> None:
        shared = self.server.shared
        if not self.server.knows(self.headers.get("Authorization", "")):
            self._refuse(401, "UNAUTHORIZED", with_body)
        elif self.path in shared.manifests:
            self._manifest(shared.manifests[self.path], with_body)
        elif self.path in shared.files:
            self._file(shared.files[self.path], with_body)
        else:
            self._refuse(404, "NAME_UNKNOWN", with_body)

    def _refuse(self, status: int, code: str, with_body: bool) -> None:
        self._send(status, {"Content-Type": "application/json"}, json.dumps({"errors": [{"code": code}]}).encode(), with_body)
        self.close_connection = True

    def _manifest(self, data: bytes, with_body: bool) -> None:
        digest = parse_manifest(data, self.path).digest
        self._send(200, {"Content-Type": MANIFEST_TYPE, "Docker-Content-Digest": f"sha256:{digest}"}, data, with_body)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes, with_body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _file(self, path: str, with_body: bool) -> None:
        try:
            # The engine's user may have put a link there: only what lies in the store itself is given.
            number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            self._refuse(404, "BLOB_UNKNOWN", with_body)
            return
        with os.fdopen(number, "rb") as stream:
            size = os.fstat(number).st_size
            first, last = self._asked(size)
            if first is None:
                self._send(416, {"Content-Range": f"bytes */{size}"}, b"", with_body)
                return
            partly = (first, last) != (0, size - 1) or "Range" in self.headers
            self.send_response(206 if partly else 200)
            if partly:
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(last - first + 1))
            self.end_headers()
            if with_body and last >= first:
                self.connection.sendfile(stream, first, last - first + 1)

    def _asked(self, size: int) -> tuple[int | None, int]:
        """First and last byte of the answer; first None where the range is none of the file."""
        said = self.headers.get("Range")
        match = RANGE.fullmatch(said.strip()) if said else None
        if match is None:
            return (None, 0) if said else (0, size - 1)
        first, last = int(match["first"]), int(match["last"]) if match["last"] else size - 1
        return (first, min(last, size - 1)) if first < size and first <= last else (None, 0)
