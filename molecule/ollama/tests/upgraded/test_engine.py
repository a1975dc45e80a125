"""After the upgrade, across the change of engine: the same models in the newer version."""

from __future__ import annotations

from typing import Any

from tests import ollama_hosts as lab
from tests.ollama_checks import AsPlanned


class TestUpgraded(AsPlanned):
    version = lab.NEW


def test_no_model_was_fetched_again() -> None:
    assert lab.planned_bytes() == lab.recorded()["planned_bytes"]


def test_both_versions_are_kept(host: Any) -> None:
    assert sorted(tree.rsplit("-", 1)[0] for tree in lab.trees(host)) == [lab.OLD, lab.NEW]


def test_each_archive_was_fetched_once_by_each_host(host: Any) -> None:
    """Going back, and forth again, takes the tree that is there."""
    address = lab.address(lab.name_of(host))
    good = [request["path"] for request in lab.mirror_requests() if request["host"] == address and "/good/" in request["path"]]
    archives = sorted(path for path in good if path.endswith(".zst"))
    assert [path.split("/")[2] for path in archives] == [f"v{lab.OLD}", f"v{lab.NEW}"]
