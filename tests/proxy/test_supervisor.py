"""The router's main process over generations that start in a moment: uvicorn as the role runs it, with a tiny application."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.servers import environment
from tests.proxy.supervised import FILES, KEY, PATIENCE_S, Supervised, wait
from tests.rules.environments import PINNED, Unavailable, python_of

# It answers with its revision: at once, after the seconds that the path says, or piece by piece; `block` stops its event loop.
APPLICATION = f"""
import asyncio, os, sys, time
sys.path.insert(0, {str(FILES)!r})
import serve_generation

_program, revision, start_s = sys.argv
time.sleep(float(start_s))

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        for word in ("startup", "shutdown"):
            await receive()
            await send({{"type": f"lifespan.{{word}}.complete"}})
        return
    await receive()
    _empty, what, seconds = scope["path"].split("/")
    if what == "block":
        time.sleep(float(seconds))
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}})
    for _piece in range(10 * int(seconds) if what == "stream" else 0):
        await send({{"type": "http.response.body", "body": b".", "more_body": True}})
        await asyncio.sleep(0.1)
    await send({{"type": "http.response.body", "body": revision.encode()}})

serve_generation.serve(application)
"""


class Lab(Supervised):
    """Generations of the tiny application."""

    def __init__(self, folder: Path, python: str, **limits: float) -> None:
        super().__init__(folder, **limits)
        self.python = python
        (folder / "generation.py").write_text(APPLICATION, encoding="utf-8")

    def write(self, revision: str, start_s: float = 0.0, **said: Any) -> None:
        self.describe(revision, [self.python, str(self.folder / "generation.py"), revision, str(start_s)], {}, **said)

    def begin(self) -> None:
        assert wait(lambda: self.serves("one")), self.log()

    def change(self, revision: str, **said: Any) -> None:
        """Another generation, until it serves."""
        self.write(revision, **said)
        self.reload(revision)
        assert wait(lambda: self.serves(revision)), self.log()

    def ask(self, path: str = "/now/0") -> str:
        connection = http.client.HTTPConnection(self.url.rpartition("/")[2], timeout=PATIENCE_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()


class Asking:
    """Somebody who asks in the background; `answers` is what came, an error as its name."""

    def __init__(self, lab: Lab, path: str, goes_on: bool = False) -> None:
        self.lab, self.path, self.goes_on, self.answers = lab, path, goes_on, list[str]()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        # What was sent has to be under way, not in the queue that all generations share.
        time.sleep(1)

    def run(self) -> None:
        while True:
            try:
                self.answers.append(self.lab.ask(self.path))
            except (OSError, http.client.HTTPException) as error:
                self.answers.append(type(error).__name__)
            if not self.goes_on:
                return
            time.sleep(0.02)

    def all(self) -> list[str]:
        self.goes_on = False
        self.thread.join(PATIENCE_S)
        return self.answers


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    try:
        python = str(python_of(PINNED))
    except Unavailable as reason:
        pytest.skip(str(reason))

    def make(drain_s: int = 60, **limits: float) -> Lab:
        lab = Lab(tmp_path, python, **limits)
        lab.write("one", drain_s=drain_s)
        lab.turn("one")
        return lab

    return make


def test_another_program_takes_over_and_nobody_is_refused(made: Callable[..., Lab]) -> None:
    lab = made()
    with lab.running():
        lab.begin()
        (one,) = lab.generations("serving")
        stream, others = Asking(lab, "/stream/12"), Asking(lab, "/now/0", goes_on=True)
        for revision in ("two", "three"):
            wanted = lab.install(f"# {revision}\n")
            lab.change(revision)
            assert lab.state()["router"] == {"revision": wanted, "refused": None}
            assert lab.state()["pid"] == lab.process.pid
            assert one["pid"] in [draining["pid"] for draining in lab.generations("draining")]
        assert stream.all() == ["." * 120 + "one"]
        assert set(others.all()) == {"one", "two", "three"}
        # Children of the former program are seen to end.
        assert wait(lambda: len(lab.state()["generations"]) == 1)
    assert lab.process.returncode == 0


def test_a_generation_of_the_former_program_is_kept_and_started_again(made: Callable[..., Lab]) -> None:
    lab = made()
    with lab.running():
        lab.begin()
        (before,) = lab.generations("serving")
        wanted = lab.install("# A later version.\n")
        lab.reload("nowhere")
        assert wait(lambda: lab.state()["refused"] is not None)
        assert lab.state()["router"]["revision"] == wanted
        assert lab.generations("serving") == [before]
        os.kill(before["pid"], signal.SIGKILL)
        assert wait(lambda: [one["pid"] for one in lab.generations("serving")] not in ([], [before["pid"]]))
        assert lab.ask() == "one"


# What the new program is -> what is said of it.
BROKEN = {
    "no Python": ({"more": "def (\n"}, "SyntaxError"),
    "it does not start": ({"TICK_S": "sys.exit('not here')"}, "not here"),
    "it ends as it is read": ({"TICK_S": "1 / 0"}, "ZeroDivisionError"),
    "it takes over in another format": ({"HANDOVER, FORMAT": "'X', 99"}, "another format"),
    "it never ends": ({"TICK_S": "time.sleep(60)"}, "timed out"),
}


@pytest.mark.parametrize(("how", "said"), BROKEN.values(), ids=BROKEN)
def test_a_program_that_does_not_start_changes_nothing(made: Callable[..., Lab], how: dict[str, str], said: str) -> None:
    lab = made(CHECK_LIMIT_S=3.0)
    with lab.running():
        lab.begin()
        before = lab.state()["router"]
        others = Asking(lab, "/now/0", goes_on=True)
        lab.install(**how)
        lab.change("two")
        assert lab.state()["router"]["revision"] == before["revision"]
        assert said in lab.state()["router"]["refused"]
        assert set(others.all()) == {"one", "two"}
        # The program that runs lies there again: nothing is refused any more.
        lab.install()
        lab.change("three")
        assert lab.state()["router"] == before


def test_signals_amid_a_handover_are_not_lost(made: Callable[..., Lab]) -> None:
    lab = made()
    with lab.running():
        lab.begin()
        lab.install("# A later version.\n")
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
            os.kill(lab.process.pid, number)
            time.sleep(0.1)
        assert lab.process.wait(PATIENCE_S) == 0


def test_what_does_not_end_within_its_drain_is_killed(made: Callable[..., Lab]) -> None:
    lab = made(drain_s=1, KILL_MARGIN_S=2.0)
    with lab.running():
        lab.begin()
        stuck = Asking(lab, "/block/100")
        lab.change("two")
        assert wait(lambda: len(lab.state()["generations"]) == 1)
        assert stuck.all() == ["RemoteDisconnected"]
        assert "generation one is killed" in lab.log()
        assert lab.ask() == "two"


def test_an_answer_that_is_longer_than_the_drain_is_ended_without_force(made: Callable[..., Lab]) -> None:
    lab = made(drain_s=2)
    with lab.running():
        lab.begin()
        stream = Asking(lab, "/stream/60")
        lab.change("two")
        assert wait(lambda: len(lab.state()["generations"]) == 1)
        assert stream.all() == ["IncompleteRead"]
        assert "is killed" not in lab.log()


def test_of_two_that_drain_the_older_one_hurries(made: Callable[..., Lab]) -> None:
    lab = made(HURRY_S=3.0)
    with lab.running():
        lab.begin()
        first = Asking(lab, "/stream/100")
        lab.change("two")
        # The former one may take a last request from their queue until it has heard its signal.
        assert wait(lambda: all(lab.ask().endswith("two") for _try in range(8)))
        second = Asking(lab, "/stream/15")
        lab.change("three")
        assert len(lab.generations("draining")) == 2
        assert wait(lambda: not lab.generations("draining"))
        assert first.all() == ["IncompleteRead"]
        assert second.all() == ["." * 150 + "two"]


def test_reloads_while_one_starts_end_with_the_last_one(made: Callable[..., Lab]) -> None:
    lab = made()
    with lab.running():
        for revision in ("two", "three"):
            lab.write(revision, start_s=3)
        # The very first, and one that is about to replace another.
        assert wait(lambda: bool(lab.generations("starting")))
        os.kill(lab.process.pid, signal.SIGHUP)
        assert wait(lambda: lab.state()["launches"] == 2)
        lab.begin()
        others = Asking(lab, "/now/0", goes_on=True)
        lab.reload("two")
        assert wait(lambda: bool(lab.generations("starting")))
        for _time in range(3):
            os.kill(lab.process.pid, signal.SIGHUP)
        lab.reload("three")
        assert wait(lambda: lab.serves("three"))
        assert set(others.all()) <= {"one", "two", "three"}


def test_generations_end_with_a_main_process_that_is_killed(made: Callable[..., Lab]) -> None:
    lab = made()
    with lab.running():
        lab.begin()
        (one,) = lab.generations("serving")
        stream = Asking(lab, "/stream/5")
        lab.process.kill()
        lab.process.wait()
        assert stream.all() == ["." * 50 + "one"]
    with lab.running():
        assert wait(lambda: [now["pid"] for now in lab.generations("serving")] not in ([], [one["pid"]]))
        assert lab.ask() == "one"
        assert not alive(one["pid"])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that has ended and whom nobody has asked about is there by name alone.
    return "zombie" not in Path(f"/proc/{pid}/status").read_text()


def test_one_whose_event_loop_stands_still_is_replaced(made: Callable[..., Lab]) -> None:
    lab = made(HANG_S=8.0)
    with lab.running():
        lab.begin()
        (one,) = lab.generations("serving")
        stuck = Asking(lab, "/block/200")
        assert wait(lambda: [now["pid"] for now in lab.generations("serving")] not in ([], [one["pid"]]))
        assert lab.ask() == "one"
        assert stuck.all() == ["RemoteDisconnected"]
        assert wait(lambda: len(lab.state()["generations"]) == 1)
        # The fresh one says that it lives.
        (fresh,) = lab.generations("serving")
        time.sleep(12)
        assert lab.generations("serving") == [fresh]


def test_a_hangup_while_it_waits_for_its_port_does_not_end_it(made: Callable[..., Lab]) -> None:
    lab = made()
    host, port = lab.url.rpartition("/")[2].split(":")
    with socket.create_server((host, int(port))), lab.running():
        time.sleep(2)
        os.kill(lab.process.pid, signal.SIGHUP)
        time.sleep(1)
        assert lab.process.poll() is None
        lab.process.terminate()
        assert lab.process.wait(PATIENCE_S) == 0


def test_secrets_that_cannot_be_handed_on_are_named(made: Callable[..., Lab]) -> None:
    lab = made()
    with lab.running():
        lab.begin()
        (lab.folder / "router.env").write_text(f"LITELLM_MASTER_KEY={KEY}\0\n")
        (one,) = lab.generations("serving")
        os.kill(one["pid"], signal.SIGKILL)
        assert wait(lambda: lab.state()["refused"] is not None)
        assert "null" in lab.state()["refused"]["reason"]
        (lab.folder / "router.env").write_text(f"LITELLM_MASTER_KEY={KEY}\n")
        assert wait(lambda: lab.serves("one"))


def test_the_check_says_what_it_cannot_take_over(tmp_path: Path) -> None:
    words = ["--current", "x", "--state", "y", "--host", "127.0.0.1", "--port", "1", "--check"]
    command = [sys.executable, str(FILES / "serve_router.py"), *words]
    done = subprocess.run(
        command, input="{}", capture_output=True, text=True, timeout=PATIENCE_S, cwd=tmp_path, env=environment({}), check=False
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "KeyError: 'format'")
