"""After the drill: all engines run again, and only one host's were stopped."""

from __future__ import annotations

from tests import lab


def test_everything_runs_again() -> None:
    assert set(lab.listeners()) == {*lab.engine_ports(), lab.router_port()}


def test_exactly_one_host_was_stopped() -> None:
    now, before = lab.identities(), lab.recorded()
    replaced = {int(port) for port in before if now[port] != before[port]}
    assert replaced in [lab.engine_ports(host) for host in lab.load_plan()["hosts"]]
