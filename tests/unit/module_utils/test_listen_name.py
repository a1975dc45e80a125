"""Where a server listens that is told a name: what the host says of it."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from plugins.module_utils import listen_name
from tests.module_doors import call_module


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("star.lan", True),
        ("star", True),
        ("localhost.lan", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("localhost", False),
        ("LOCALHOST.", False),
        ("ollama.localhost", False),
    ],
)
def test_what_is_a_name(text: str, expected: bool) -> None:
    assert listen_name.is_name(text) is expected


@pytest.mark.parametrize(
    ("found", "addresses", "is_reachable"),
    [
        # Debian's installer.
        (["127.0.1.1"], ["127.0.1.1"], False),
        (["192.168.1.11"], ["192.168.1.11"], True),
        # Servers take IPv4 where there is any.
        (["::1", "192.168.1.11", "192.168.1.11"], ["192.168.1.11"], True),
        (["192.168.1.11", "127.0.1.1"], ["127.0.1.1", "192.168.1.11"], False),
        (["fe80::1%eth0"], ["fe80::1"], True),
        (["::1"], ["::1"], False),
        ([], [], False),
    ],
)
def test_what_it_stands_for(monkeypatch: pytest.MonkeyPatch, found: list[str], addresses: list[str], is_reachable: bool) -> None:
    def getaddrinfo(*_asked: Any, **_more: Any) -> list[Any]:
        if not found:
            raise socket.gaierror("Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, 0)) for text in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(listen_name, "own_address", lambda: "192.168.1.11")
    answer = call_module("listen_info", address="star.lan")
    assert (answer["is_name"], answer["addresses"], answer["is_reachable"]) == (True, addresses, is_reachable)


def test_a_text_that_no_host_can_know() -> None:
    assert listen_name.addresses_of("a" * 300) == []
