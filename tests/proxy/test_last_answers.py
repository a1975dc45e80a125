"""A generation that ends loses no request of a client that keeps its connection, however long the answer under way takes."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rules.environments import PINNED, Unavailable, python_of

FILES = Path(__file__).resolve().parents[2] / "roles" / "litellm" / "files"
# Longer than an idle connection lingers (5.5 s).
ANSWER_S = 8
APPLICATION = f"""
import asyncio, sys
sys.path.insert(0, {str(FILES)!r})
import serve_generation

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        for word in ("startup", "shutdown"):
            await receive()
            await send({{"type": f"lifespan.{{word}}.complete"}})
        return
    await receive()
    plain = scope["path"] != "/stream"
    if plain and scope["path"] == "/slow":
        await asyncio.sleep({ANSWER_S})
    headers = [(b"content-length", b"2")] if plain else [(b"content-type", b"text/event-stream")]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    for _second in range(0 if plain else {ANSWER_S}):
        await send({{"type": "http.response.body", "body": b"data: x\\n\\n", "more_body": True}})
        await asyncio.sleep(1)
    await send({{"type": "http.response.body", "body": b"ok"}})

serve_generation.serve(application)
"""


class Lab:
    """A socket, and generations that serve it."""

    def __init__(self, python: str, folder: Path) -> None:
        self.python, self.program = python, folder / "generation.py"
        self.program.write_text(APPLICATION, encoding="utf-8")
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        hears, says = os.pipe()
        numbers = {"ROUTER_LISTEN_FD": self.listener.fileno(), "ROUTER_READY_FD": says, "ROUTER_DRAIN_S": 60}
        variables = {**os.environ, **{name: str(number) for name, number in numbers.items()}}
        process = subprocess.Popen([self.python, self.program], env=variables, pass_fds=(self.listener.fileno(), says))
        self.started.append(process)
        os.close(says)
        assert os.read(hears, 16) == b"ready"
        os.close(hears)
        return process

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.listener.getsockname(), timeout=60)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    try:
        lab = Lab(str(python_of(PINNED)), tmp_path)
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield lab
    for process in lab.started:
        process.kill()
        process.wait()
    lab.listener.close()


def test_the_request_after_a_long_answer_is_answered(lab: Lab) -> None:
    old, asked = lab.start(), threading.Barrier(3)
    answers: dict[str, list[int]] = {"/slow": [], "/stream": []}

    def client(path: str) -> None:
        connection = lab.connection()
        connection.request("GET", path)
        asked.wait()
        for _turn in range(2):
            answer = connection.getresponse()
            answer.read()
            answers[path].append(answer.status)
            connection.request("GET", "/")
        connection.getresponse().read()

    threads = [threading.Thread(target=client, args=(path,)) for path in answers]
    for thread in threads:
        thread.start()
    asked.wait()
    # What was sent has to be under way, not in the queue that both share.
    threading.Event().wait(1)
    lab.start()
    old.terminate()
    for thread in threads:
        thread.join(60)
    assert answers == {"/slow": [200, 200], "/stream": [200, 200]}
    # uvicorn raises the signal again when it is done.
    assert old.wait(30) in (0, -signal.SIGTERM)


def test_a_connection_that_never_asks_does_not_hold_the_end(lab: Lab) -> None:
    old = lab.start()
    silent = socket.create_connection(lab.listener.getsockname())
    threading.Event().wait(1)
    old.terminate()
    # uvicorn raises the signal again when it is done.
    assert old.wait(30) in (0, -signal.SIGTERM)
    silent.close()
