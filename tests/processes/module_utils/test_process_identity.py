"""Which process is it: start and ports out of the system's tables."""

from __future__ import annotations

import os
import shutil
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
    assert process is None or process.identity == "7:2026-11-21T10:58:01+00:00"


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


def command(folder, monkeypatch, name, said):
    """A program of this name, alone in the path with the system's or missing; it keeps what it was asked."""
    monkeypatch.setenv("PATH", str(folder))
    if said:
        (folder / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/asked\n{said}\n')
        (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", os.pathsep.join([str(folder), os.defpath]))


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
    command(tmp_path, monkeypatch, "lsof", said)
    assert process_identity.listeners_by_lsof(host, 80) == expected


# What `lsof -nP -Fptn -a -p 41,42,43 -iTCP -sTCP:LISTEN` of release 4.95 says: the last holds nothing.
HELD = "printf '%s\\n' p41 tIPv4 n127.0.0.1:11434 tIPv6 'n*:9100' tIPv6 'n[::1]:9100' p42 f7 tIPv4 'n*:8100'"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (HELD, {41: [9100, 11434], 42: [8100], 43: []}),
        (f"{HELD}; exit 1", {41: [9100, 11434], 42: [8100], 43: []}),
        ("exit 1", {41: [], 42: [], 43: []}),
        (None, {41: [], 42: [], 43: []}),
    ],
)
def test_where_there_is_no_process_file_system_lsof_knows_the_ports(said, expected, tmp_path, monkeypatch):
    command(tmp_path, monkeypatch, "lsof", said)
    monkeypatch.setattr(process_identity, "has_process_files", lambda: False)
    assert process_identity.listening_ports(iter([41, 42, 43])) == expected
    if said:
        assert (tmp_path / "asked").read_text().split() == ["-nP", "-Fptn", "-a", "-p", "41,42,43", "-iTCP", "-sTCP:LISTEN"]
        (tmp_path / "asked").unlink()
    assert process_identity.listening_ports([]) == {}
    assert not (tmp_path / "asked").exists()


def test_where_there_is_no_process_file_system_ps_knows_the_start(tmp_path, monkeypatch):
    command(tmp_path, monkeypatch, "ps", 'echo "Ss   Sat Nov  7 10:58:01 2026    "; echo "$LC_ALL $TZ" >> "${0%ps}asked"')
    monkeypatch.setattr(process_identity, "has_process_files", lambda: False)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    found = process_identity.find(41)
    assert found == (41, "41:2026-11-07T10:58:01+00:00", "2026-11-07T10:58:01+00:00")
    assert (tmp_path / "asked").read_text().split() == ["-o", "stat=", "-o", "lstart=", "-p", "41", "C", "UTC0"]


def test_this_process_is_found_without_the_process_file_system(monkeypatch):
    if not (shutil.which("lsof") and shutil.which("ps")):
        pytest.skip("lsof or ps is not installed")
    monkeypatch.setattr(process_identity, "has_process_files", lambda: False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port, me = server.getsockname()[1], process_identity.find(os.getpid())
        assert me is not None
        assert port in process_identity.listening_ports([me.pid])[me.pid]
        assert process_identity.listener_identity("127.0.0.1", port) == me.identity
