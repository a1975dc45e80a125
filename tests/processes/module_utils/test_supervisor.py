"""A real supervisord with a program that takes its time to end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils import supervisor
from plugins.module_utils.supervisor_config import layout
from tests.module_doors import call_module
from tests.rules.environments import ROOT, Unavailable, cache_folder, python_with

LOCK = ROOT / "roles" / "service" / "files" / "requirements-supervisor.txt"
# supervisord kills it after this; the test lets it go sooner.
STOP_TIMEOUT_S = 30
PATIENCE_S = 60.0
# What is asked of supervisord is answered within this, and the program takes longer to end.
RPC_TIMEOUT_S, LONGER_S = 0.5, 2.0
# Says that it was told to stop, and ends when it is let go.
PROGRAM = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: (folder / "told").touch())
while not ((folder / "told").exists() and (folder / "let-go").exists()):
    time.sleep(0.05)
(folder / "told").unlink()
"""


class Slow:
    """The program as the module describes it."""

    def __init__(self, folder: Path, executable: Path) -> None:
        self.folder, self.executable, self.program = folder, executable, folder / "program.py"
        self.program.write_text(PROGRAM)
        self.identity = ""
        self.place = layout(str(folder / "services"), 0)

    def call(self, state: str = "started", revision: str = "1") -> dict[str, Any]:
        described = {
            "supervisord": str(self.executable),
            "command": [sys.executable, str(self.program), str(self.folder)],
            "revision": revision,
            "stop_timeout_s": STOP_TIMEOUT_S,
        }
        wanted = {} if state == "absent" else described
        return call_module("supervised_process", name="slow", directory=str(self.folder / "services"), state=state, **wanted)

    def let_go_later(self) -> threading.Thread:
        """Let it end so long after it was told to that nothing which waits for an answer alone is still there."""

        def later() -> None:
            ends = time.monotonic() + PATIENCE_S
            while not (self.folder / "told").exists() and time.monotonic() < ends:
                time.sleep(0.05)
            time.sleep(LONGER_S)
            (self.folder / "let-go").touch()

        thread = threading.Thread(target=later)
        thread.start()
        return thread


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    try:
        python = python_with(LOCK, "supervisord", cache_folder("supervisor") / "supervisor")
    except Unavailable as reason:
        pytest.skip(str(reason))
    monkeypatch.setattr(supervisor, "RPC_TIMEOUT_S", RPC_TIMEOUT_S)
    found = Slow(tmp_path, python.with_name("supervisord"))
    try:
        answer = found.call()
        assert answer.get("state") == "running", answer
        found.identity = answer["identity"]
        yield found
    finally:
        (tmp_path / "let-go").touch()
        found.call("absent")


def started_anew(slow: Slow, again: Callable[[], dict[str, Any]]) -> None:
    thread = slow.let_go_later()
    answer = again()
    thread.join()
    assert "failed" not in answer, answer
    assert (answer["state"], answer["identity"] != slow.identity) == ("running", True)


def test_another_description_waits_for_the_end(slow: Slow) -> None:
    started_anew(slow, lambda: slow.call(revision="2"))


@pytest.mark.parametrize("revision", ["1", "2"], ids=["the same", "another"])
def test_one_that_was_told_to_stop_is_started_after_its_end(slow: Slow, revision: str) -> None:
    """As a run leaves it that was ended while it waited."""
    supervisor.remote(slow.place).stopProcess("slow", False)
    started_anew(slow, lambda: slow.call(revision=revision))


def test_a_restart_waits_for_the_end(slow: Slow) -> None:
    started_anew(slow, lambda: slow.call("restarted"))


def test_stopped_is_what_has_ended(slow: Slow) -> None:
    supervisor.remote(slow.place).stopProcess("slow", False)
    thread = slow.let_go_later()
    assert slow.call("stopped")["state"] == "stopped"
    thread.join()


def test_what_is_removed_has_the_time_that_it_was_described_with(slow: Slow) -> None:
    """Whoever removes it says nothing of that time."""
    thread = slow.let_go_later()
    answer = slow.call("absent")
    thread.join()
    assert "failed" not in answer, answer
    assert (answer["state"], supervisor.daemon(slow.place)) == ("absent", None)
