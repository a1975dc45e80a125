"""Which process is it: start and ports out of the system's tables."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from plugins.module_utils import process_identity

TAIL = "1 " * 18 + "4711 0 0"
STATS = [
    (f"17 (python) S {TAIL}", ("S", 4711)),
    (f"17 (a) b (c)) Z {TAIL}", ("Z", 4711)),
    ("", None),
    ("17 (short) S 1 2", None),
]


@pytest.mark.parametrize(("line", "expected"), STATS)
def test_state_and_start_come_from_the_process_table(line, expected):
    assert process_identity.parse_stat(line) == expected


LINES = [
    ("Ss   Sat Nov 21 10:58:01 2026\n", True),
    ("Z    Sat Nov 21 10:58:01 2026\n", False),
    ("", False),
]


@pytest.mark.parametrize(("line", "found"), LINES)
def test_a_line_of_ps_is_a_process(line, found):
    process = process_identity.parse_ps(7, line)
    assert (process is not None) is found
    assert process is None or process.identity.startswith("7:2026-11-21T")


TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:46B4 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1001 1 0
   1: 0100007F:46B5 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 1002 1 0
"""


def test_only_listening_sockets_count():
    assert process_identity.listening_inodes(TABLE) == {"1001": 18100}


def test_this_process_is_found_with_its_ports():
    with socket.create_server(("127.0.0.1", 0)) as server:
        me = process_identity.find(os.getpid())
        assert me == process_identity.find(os.getpid())
        assert server.getsockname()[1] in process_identity.listening_ports([os.getpid()])[os.getpid()]


def test_an_ended_process_is_none():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert process_identity.find(child.pid) is None
    assert process_identity.find(None) is None


@pytest.mark.parametrize(("said", "expected"), [("echo 41; echo 42", [41, 42]), ("exit 1", []), (None, [])])
def test_where_there_is_no_process_file_system_lsof_knows_who_listens(said, expected, tmp_path, monkeypatch):
    if said:
        (tmp_path / "lsof").write_text(f"#!/bin/sh\n{said}\n")
        (tmp_path / "lsof").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    assert process_identity.listeners_by_lsof(1) == expected
