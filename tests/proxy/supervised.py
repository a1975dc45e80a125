"""The router's main process as a test runs it: its folder with generations, its program that can be exchanged, what it says."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.engines.servers import environment, free_port

FILES = Path(__file__).resolve().parents[2] / "roles" / "litellm" / "files"
KEY = "sk-of-the-test-0123456789"
# The router ends by itself, whatever the test does.
LIFE_S = 900
DRAIN_S = 60
PATIENCE_S = 240.0


class Supervised:
    """A router's folder, and its process."""

    def __init__(self, folder: Path, **limits: float) -> None:
        """`limits`: constants of the program that would make a test last too long."""
        self.folder, self.limits = folder, limits
        self.url = f"http://127.0.0.1:{free_port()}"
        self.state_file, self.program = folder / "state.json", folder / "serve_router.py"
        (folder / "router.env").write_text(f"LITELLM_MASTER_KEY={KEY}\n")
        self.install()
        self.process: Any = None

    def install(self, more: str = "", **replaced: str) -> str:
        """The role's program, with other limits and with text at its end; its digest."""
        text = (FILES / "serve_router.py").read_text()
        for name, value in {**{name: repr(value) for name, value in self.limits.items()}, **replaced}.items():
            (line,) = [line for line in text.splitlines() if line.startswith(f"{name} = ")]
            text = text.replace(line, f"{name} = {value}")
        (self.folder / "program.new").write_text(text + more)
        (self.folder / "program.new").replace(self.program)
        return hashlib.sha256(self.program.read_bytes()).hexdigest()

    def describe(self, revision: str, command: list[str], variables: dict[str, str], **said: Any) -> Path:
        """A generation's folder with what is said of it."""
        place = self.folder / revision
        place.mkdir()
        told = {"revision": revision, "command": command, "environment": variables, "secrets": str(self.folder / "router.env")}
        limits = {"drain_s": DRAIN_S, "start_limit_s": PATIENCE_S}
        (place / "generation.json").write_text(json.dumps({**told, **limits, **said}))
        return place

    def turn(self, revision: str) -> None:
        (self.folder / "new").symlink_to(revision)
        (self.folder / "new").replace(self.folder / "current")

    def reload(self, revision: str) -> None:
        self.turn(revision)
        os.kill(self.process.pid, signal.SIGHUP)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        host, port = self.url.rpartition("/")[2].split(":")
        command = [sys.executable, str(self.program), "--current", str(self.folder / "current")]
        place = ["--state", str(self.state_file), "--host", host, "--port", port]
        with (self.folder / "router.log").open("ab") as log:
            self.process = subprocess.Popen([*command, *place], stdout=log, stderr=log, env=environment({}))
        alarm = threading.Timer(LIFE_S, self.process.kill)
        alarm.start()
        try:
            yield
        finally:
            alarm.cancel()
            self.process.terminate()
            try:
                self.process.wait(DRAIN_S + 20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def log(self) -> str:
        return (self.folder / "router.log").read_text()

    def generations(self, stage: str) -> list[dict[str, Any]]:
        try:
            return [one for one in self.state()["generations"] if one["stage"] == stage]
        except OSError:
            return []

    def state(self) -> dict[str, Any]:
        return json.loads(self.state_file.read_text())

    def serves(self, revision: str) -> bool:
        return [one["revision"] for one in self.generations("serving")] == [revision]


def wait(condition: Callable[[], bool]) -> bool:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.1)
    return True
