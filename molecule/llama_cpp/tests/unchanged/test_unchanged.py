"""After the second converge: the very same processes, and nothing fetched."""

from __future__ import annotations

from typing import Any

from tests import llama_cpp_hosts as lab


def test_a_second_converge_restarts_nothing(host: Any) -> None:
    assert lab.identities(lab.name_of(host)) == lab.recorded()["servers"][lab.name_of(host)]


def test_a_second_converge_fetches_nothing(host: Any) -> None:
    assert len(lab.requests(lab.name_of(host))) == 3
