"""After the second converge: the very same processes."""

from __future__ import annotations

from tests import lab


def test_nothing_was_restarted() -> None:
    assert lab.recorded()
    assert {port: lab.identities().get(port) for port in lab.recorded()} == lab.recorded()
