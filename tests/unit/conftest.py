"""A unit test is alone in its process: what talks to a network, even loopback, or starts a process is in tests/processes."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

# Audit events of Python (docs.python.org/3/library/audit_events.html): what reaches a network, and what starts a process.
FORBIDDEN = {
    "socket.bind": "listens at an address",
    "socket.connect": "connects",
    "socket.getaddrinfo": "asks for the address of a name",
    "socket.gethostbyname": "asks for the address of a name",
    "socket.sendto": "sends to an address",
    "socket.sendmsg": "sends to an address",
    "subprocess.Popen": "starts a process",
    "os.exec": "becomes another program",
    "os.fork": "starts a process",
    "os.forkpty": "starts a process",
    "os.posix_spawn": "starts a process",
    "os.system": "starts a process",
    "pty.spawn": "starts a process",
}


class Watch:
    """``met``: what the running unit test did of this, also where the code under test swallowed the refusal."""

    def __init__(self) -> None:
        self.running = False
        self.met: list[str] = []

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.running and event in FORBIDDEN:
            self.met.append(f"a unit test {FORBIDDEN[event]} ({event}{arguments!r:.200}); it belongs in tests/processes")
            pytest.fail(self.met[-1])


WATCH = Watch()
# There is no way to take a hook away again; it does nothing while no unit test runs.
sys.addaudithook(WATCH.hear)


@pytest.fixture
def watch() -> Watch:
    return WATCH


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    WATCH.running, WATCH.met = True, []
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    try:
        yield
    finally:
        WATCH.running = False
    if WATCH.met:
        pytest.fail(WATCH.met[0])


def pytest_collection_finish() -> None:
    """Thousands of cases live until the end: looking at them again and again for garbage takes a tenth of the time."""
    gc.collect()
    gc.freeze()
