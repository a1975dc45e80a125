"""Check mode on an empty machine starts nothing and writes nothing."""

from __future__ import annotations

from tests import lab


def test_nothing_listens() -> None:
    assert lab.listeners() == {}


def test_nothing_was_written() -> None:
    left = [str(path.relative_to(lab.BUILD)) for path in lab.BUILD.rglob("*")] if lab.BUILD.exists() else []
    # Samples and plans of earlier runs are kept; what a host runs is not there.
    assert [name for name in left if name.startswith("hosts")] == []
