"""After the second converge: the very same processes."""

from __future__ import annotations

from typing import Any

from tests import systemd_host as lab


def test_a_second_converge_restarts_nothing(host: Any) -> None:
    assert lab.identities(host) == lab.recorded()
