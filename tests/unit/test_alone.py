"""Unit tests neither talk to a network nor start processes: what does is refused, however it is done."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable

import pytest

ADDRESS = ("127.0.0.1", 9)
TRUE = "/bin/true"


def bound() -> None:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))


def connected() -> None:
    with socket.socket() as made:
        made.connect(ADDRESS)


def connected_by_number() -> None:
    with socket.socket() as made:
        made.connect_ex(ADDRESS)


def sent() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as made:
        made.sendto(b"", ADDRESS)


def forked() -> None:
    context = multiprocessing.get_context("fork")
    context.Process(target=sys.exit).start()


WAYS = {
    "bind": bound,
    "connect": connected,
    "connect_ex": connected_by_number,
    "sendto": sent,
    "a name": lambda: socket.getaddrinfo("localhost", 9),
    "http": lambda: urllib.request.urlopen("http://127.0.0.1:9"),
    "subprocess": lambda: subprocess.run([TRUE], check=False),
    "system": lambda: os.system(TRUE),
    "fork": forked,
    "spawn": lambda: os.posix_spawn(TRUE, [TRUE], {}),
    "exec": lambda: os.execv("/nowhere", ["nowhere"]),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_leaves_the_process_is_refused(way: Callable[[], object], watch) -> None:
    with pytest.raises(pytest.fail.Exception, match="it belongs in tests/processes"):
        way()
    assert len(watch.met) == 1
    watch.met.clear()


def test_a_refusal_that_is_swallowed_is_kept(watch) -> None:
    """Of a thread, or of code that goes on whatever happens: the test fails when it is over."""

    def swallowed() -> None:
        try:
            connected()
        except BaseException:
            return

    thread = threading.Thread(target=swallowed)
    thread.start()
    thread.join()
    assert len(watch.met) == 1
    watch.met.clear()
