"""An engine on loopback that says what a test wrote down, when it says it, and keeps the times it really did.

A script is a list of steps, done in order once the request has been read completely:
("at", seconds) waits for an absolute moment after that, bytes are sent at once, ("close",) ends the connection, ("reset",)
breaks it, ("hang",) waits until the test is over.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Script = list[Any]


@dataclass
class Asked:
    """One request as the engine saw it; times are perf_counter nanoseconds."""

    method: str
    path: str
    body: Any
    connection: int
    read_ns: int
    sent_ns: list[int] = field(default_factory=list)

    @property
    def done_ns(self) -> int:
        """When the last of the answer went out: what the client does next can only be later."""
        return self.sent_ns[-1] if self.sent_ns else self.read_ns


class ScriptedEngine:
    """``answer`` maps a request to the script of its reply; without it every chat gets HELLO."""

    def __init__(self, answer: Callable[[Asked], Script | None] | None = None, models: tuple[str, ...] = ("m",)) -> None:
        self.answer = answer
        self.models = models
        self.instance = "life-1"
        self.asked: list[Asked] = []
        self.over = threading.Event()
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> ScriptedEngine:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def posts(self) -> list[Asked]:
        """The requests that are not receipts."""
        return [asked for asked in self.asked if asked.method == "POST"]

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, connection.makefile("rb") as stream, contextlib.suppress(OSError):
            while not self.over.is_set():
                asked = read_request(stream, number)
                if asked is None:
                    return
                self.asked.append(asked)
                script = self.answer(asked) if self.answer else None
                going = self._perform(connection, asked, self._receipt(asked) if script is None else script)
                if not going:
                    return

    def _perform(self, connection: socket.socket, asked: Asked, script: Script) -> bool:
        for step in script:
            if isinstance(step, bytes):
                asked.sent_ns.append(time.perf_counter_ns())
                connection.sendall(step)
            elif step[0] == "at":
                self.over.wait(max(0.0, step[1] - (time.perf_counter_ns() - asked.read_ns) / 1e9))
            elif step[0] == "hang":
                self.over.wait(30)
                return False
            else:
                if step[0] == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
        return True

    def _receipt(self, asked: Asked) -> Script:
        """What a llama.cpp server says about itself, and HELLO for a chat."""
        replies = {
            "/health": {"status": "ok"},
            "/v1/models": {"data": [{"id": name, "aliases": [name], "meta": {"size": 7}} for name in self.models]},
            "/props": {"default_generation_settings": {"n_ctx": 4096}, "media_marker": self.instance, "build_info": "b1"},
        }
        if asked.path == "/v1/chat/completions":
            return chunked(HELLO)
        if asked.path == "/v1/embeddings":
            return [reply({"data": [{"embedding": [0.5, -0.5, 0.25]}], "usage": {"prompt_tokens": 3}})]
        return [reply(replies[asked.path])] if asked.path in replies else [reply({"error": {"message": "no"}}, "404 Not Found")]


def read_request(stream: Any, number: int) -> Asked | None:
    """The next request of a connection, None at its end."""
    first = stream.readline().decode()
    if not first:
        return None
    length = 0
    for line in iter(stream.readline, b"\r\n"):
        name, _colon, value = line.decode().partition(":")
        length = int(value) if name.lower() == "content-length" else length
    body = stream.read(length)
    method, path, _version = first.split()
    return Asked(method, path, json.loads(body) if body else None, number, time.perf_counter_ns())


def reply(body: Any, status: str = "200 OK", kind: str = "application/json") -> bytes:
    """A whole reply with a declared length."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def framed(data: bytes) -> bytes:
    """One HTTP chunk."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def chunked(steps: Script, end: bytes = END) -> Script:
    """A script of a chunked event stream from the steps of its body."""
    return [HEAD, *(framed(step) if isinstance(step, bytes) else step for step in steps), *([end] if end else [])]


def delta(text: str | None = None, **fields: Any) -> bytes:
    """One chat chunk whose delta has this content and these fields."""
    inner = dict(fields) if text is None else {"content": text, **fields}
    return event({"model": "m", "choices": [{"index": 0, "delta": inner, "finish_reason": None}]})


def event(value: Any) -> bytes:
    """One server-sent event."""
    return f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n".encode()


def finish(reason: str = "stop") -> bytes:
    """The chunk that ends an answer."""
    return event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})


def usage(completion: int, prompt: int = 40, cached: int | None = 0, **more: Any) -> bytes:
    """The chunk that carries the counts."""
    details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **details}
    return event({"choices": [], "usage": counts, **more})


ROLE = delta(role="assistant", content=None)
DONE = event("[DONE]")
HELLO: Script = [ROLE, delta("Hel"), delta("lo"), finish(), usage(2), DONE]


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """The address of a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
