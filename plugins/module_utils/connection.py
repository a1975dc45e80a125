"""One kept-open HTTP connection to an engine, with a clock that is read at the socket.

Every read is stamped with time.perf_counter_ns the moment the kernel hands the bytes over, and every read and write
gets only what is left of one deadline, so that a server that dribbles bytes cannot stretch a request.
"""

from __future__ import annotations

import http.client
import io
import selectors
import socket
import ssl
import time
from typing import Any, Iterable, Optional, cast
from urllib.parse import urlsplit

CONNECT_TIMEOUT_S = 10.0


class RequestFailed(Exception):
    """A request that brought no usable reply. ``kind`` is one of ERROR_KINDS in stream.py."""

    def __init__(self, kind: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status

    def as_dict(self) -> dict[str, Any]:
        """The failure as plain data: kind, message, status (None where no status line was read)."""
        return {"kind": self.kind, "message": self.message, "status": self.status}


class ReadClock:
    """The deadline of the current request and the time of the latest socket read, both in perf_counter nanoseconds."""

    def __init__(self) -> None:
        self.timeout_s = 0.0
        self.deadline_ns = 0
        self.last_read_ns = 0

    def start(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.deadline_ns = time.perf_counter_ns() + int(timeout_s * 1e9)

    def remaining_s(self) -> float:
        """Seconds until the deadline; raises socket.timeout when there are none."""
        left_ns = self.deadline_ns - time.perf_counter_ns()
        if left_ns <= 0:
            raise socket.timeout("deadline reached")
        return left_ns / 1e9


class _TimedReader(io.RawIOBase):
    """The raw file of a socket: asks for no more time than is left, stamps what arrives."""

    def __init__(self, sock: Any, clock: ReadClock) -> None:
        super().__init__()
        self._sock = sock
        self._clock = clock
        # The socket's own raw file counts as a user of the socket: it stays open until a reply's body is read,
        # although http.client closes its end at once when the server announces "Connection: close".
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._clock.remaining_s())
        count = self._raw.readinto(buffer)
        self._clock.last_read_ns = time.perf_counter_ns()
        return cast(Optional[int], count)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _TimedSocket:
    """What http.client uses of a socket, with the clock in between."""

    def __init__(self, sock: Any, clock: ReadClock) -> None:
        self.plain = sock
        self._clock = clock

    def makefile(self, *_args: Any, **_kwargs: Any) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self.plain, self._clock))

    def sendall(self, data: bytes) -> None:
        self.plain.settimeout(self._clock.remaining_s())
        self.plain.sendall(data)

    def close(self) -> None:
        self.plain.close()


class TimedHTTPConnection(http.client.HTTPConnection):
    """A plain connection whose reads and writes get what is left until the deadline of ``clock``, to be set before connecting."""

    clock: ReadClock

    def connect(self) -> None:
        super().connect()
        self.sock = cast(Any, _TimedSocket(self.sock, self.clock))


class TimedHTTPSConnection(http.client.HTTPSConnection):
    """The same over TLS."""

    clock: ReadClock

    def connect(self) -> None:
        super().connect()
        self.sock = cast(Any, _TimedSocket(self.sock, self.clock))


class Endpoint:
    """The address of one engine and the single connection kept open to it. Not shared between threads.

    ``url`` has no /v1; a path in it is kept as a prefix. ``connect_s`` is the time of the latest connect,
    ``opened`` how many connections were made, ``requests`` how many requests the current one has carried.
    """

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self.url = url.rstrip("/")
        self.clock = ReadClock()
        self.connect_s: float | None = None
        self.opened = 0
        self.requests = 0
        self._headers = headers or {}
        self._connection: Any = None

    def _new_connection(self) -> Any:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RequestFailed("connect", f"got the address {self.url!r}; expected http://… or https://…")
        connection: Any
        if parts.scheme == "https":
            connection = TimedHTTPSConnection(parts.hostname, parts.port, context=ssl.create_default_context())
        else:
            connection = TimedHTTPConnection(parts.hostname, parts.port)
        connection.clock = self.clock
        return connection

    def open(self, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """Make sure that the connection stands, so that connecting is never inside a timed request."""
        if self._connection is not None and self._connection.sock is not None and not self._was_closed_by_peer():
            return
        self.close()
        begin_ns = time.perf_counter_ns()
        try:
            self._connection = self._new_connection()
            self._connection.timeout = min(timeout_s, CONNECT_TIMEOUT_S)
            self._connection.connect()
            self._connection.sock.plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, ValueError) as error:
            self.close()
            raise RequestFailed("connect", f"no connection to {self.url}: {error}") from error
        self.connect_s = (time.perf_counter_ns() - begin_ns) / 1e9
        self.opened += 1
        self.requests = 0

    def _was_closed_by_peer(self) -> bool:
        """An idle connection has nothing to read; one that is readable was closed or is out of step."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection.sock.plain, selectors.EVENT_READ)
            return bool(selector.select(0))

    def start(self, method: str, path: str, body: bytes | Iterable[bytes] | None, timeout_s: float) -> int:
        """Write one request on the open connection; returns t0, taken just before the first byte is written."""
        headers = {"Accept": "text/event-stream, application/json", **self._headers}
        if body is not None:
            headers["Content-Type"] = "application/json"
        target = urlsplit(self.url).path.rstrip("/") + path
        self.requests += 1
        self.clock.start(timeout_s)
        t0_ns = time.perf_counter_ns()
        self._connection.request(method, target, body=body, headers=headers)
        return t0_ns

    def response(self) -> http.client.HTTPResponse:
        """Wait for the status line and headers of the request just started."""
        return cast(http.client.HTTPResponse, self._connection.getresponse())

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
