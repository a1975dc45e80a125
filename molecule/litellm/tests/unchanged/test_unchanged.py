"""After the second converge: the very same processes and files."""

from __future__ import annotations

from typing import Any

from tests import litellm_host as lab


def test_a_second_converge_starts_nothing(host: Any) -> None:
    assert lab.identity(host) == lab.recorded()["identity"]


def test_a_second_converge_writes_nothing(host: Any) -> None:
    assert lab.files(host) == lab.recorded()["files"]
