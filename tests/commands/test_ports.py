"""A foreign program on a wanted port: refused on all hosts before any is touched, also when the port is the last host's."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.commands.command import ROOT, playbook

# Below the ports that systems hand out by themselves; the lab takes BASE to BASE + 300.
BASE = 30100


@pytest.fixture(params=[("beta", 100), ("gamma", 300)], ids=["an engine's", "the router's"])
def foreign(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    host, offset = request.param
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", BASE + offset))
        listener.listen()
        yield host, BASE + offset


def test_a_foreign_program_on_a_port_stops_everything_before_it_begins(foreign, tmp_path):
    host, port = foreign
    places = ["-e", f"embedded_base_port={BASE}", "-e", f"llm_build_directory={tmp_path}/embedded"]
    result = playbook("-i", "inventory/embedded", "site.yml", *places, cwd=ROOT)
    assert result.code != 0
    assert "Traceback" not in result.text
    words = " ".join(result.text.split())
    assert "Nothing was touched, on no host." in words
    assert f"ort {port} " in words
    assert host in words
    assert not (tmp_path / "embedded" / "hosts").exists()
