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


@pytest.mark.skipif(sys.byteorder != "little", reason="the table is one of a little-endian machine")
def test_only_listening_sockets_count():
    assert process_identity.listening_inodes(TABLE) == {"1001": ("127.0.0.1", 18100)}


# Addresses as the system shows them, with what listens there; the host that is asked; who answers.
ANY, ANY_6 = "0.0.0.0", "::"
REACHED = [
    ({"127.0.0.1": "engine", "127.0.0.9": "other"}, "127.0.0.1", "engine"),
    ({"127.0.0.9": "other", "::1": "other"}, "127.0.0.1", None),
    ({ANY: "engine"}, "127.0.0.9", "engine"),
    ({ANY_6: "engine"}, "127.0.0.1", "engine"),
    ({ANY_6: "other", ANY: "engine"}, "127.0.0.1", "engine"),
    ({ANY_6: "other", ANY: "other", "127.0.0.1": "engine"}, "127.0.0.1", "engine"),
    ({ANY: "other", "::1": "engine"}, "::1", "engine"),
    ({ANY: "other"}, "::1", None),
    ({ANY_6: "engine"}, "::1", "engine"),
    ({"127.0.0.1": "engine"}, ANY, "engine"),
    ({"127.0.0.1": "engine"}, "::ffff:127.0.0.1", "engine"),
    ({"127.0.0.1": "engine"}, "no..host", None),
]


@pytest.mark.parametrize(("listeners", "host", "expected"), REACHED)
def test_of_all_listeners_on_a_port_the_one_at_the_address_answers(listeners, host, expected):
    found = process_identity.nearest(host, [(name, address) for address, name in listeners.items()])
    assert found == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, "127.0.0.1"),
        (socket.AF_INET, ANY),
        (socket.AF_INET6, "::1"),
        (socket.AF_INET6, ANY_6),
        (socket.AF_INET6, "::ffff:127.0.0.1"),
    ],
)
def test_a_listener_is_told_from_one_on_the_same_port_of_another_address(family, address):
    with socket.socket(family) as server, socket.socket() as other:
        try:
            server.bind((address, 0))
        except OSError as error:
            pytest.skip(f"no {address} here: {error}")
        server.listen()
        port, host = server.getsockname()[1], {"::1": "::1"}.get(address, "127.0.0.1")
        before = process_identity.listener_identity(host, port)
        if address not in (ANY, ANY_6):
            other.bind(("127.0.0.9", port))
            other.listen()
            assert process_identity.listener_identity("127.0.0.9", port) not in (None, before)
        assert before is not None
        assert process_identity.listener_identity(host, port) == before
        assert process_identity.listener(host, port) == os.getpid()


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


# What `lsof -Fptn` of release 4.95 says.
LSOF = "printf '%s\\n' p41 f3 tIPv4 n127.0.0.1:80 p42 f3 tIPv4 n127.0.0.9:80 p43 f3 tIPv6 'n*:80' f4 tIPv6 'n[::1]:80'"
SAID = [
    (LSOF, "127.0.0.1", [41]),
    (LSOF, "127.0.0.2", [43]),
    (LSOF, "::1", [43]),
    ("printf '%s\\n' p42 f3 tIPv6 'n*:80' p41 f3 tIPv4 'n*:80'", "127.0.0.1", [41]),
    ("exit 1", "127.0.0.1", []),
    (None, "127.0.0.1", []),
]


@pytest.mark.parametrize(("said", "host", "expected"), SAID)
def test_where_there_is_no_process_file_system_lsof_knows_who_listens(said, host, expected, tmp_path, monkeypatch):
    if said:
        (tmp_path / "lsof").write_text(f"#!/bin/sh\n{said}\n")
        (tmp_path / "lsof").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    assert process_identity.listeners_by_lsof(host, 80) == expected
