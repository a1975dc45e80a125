"""After the rollback: the older build again, out of the tree that was kept."""

from __future__ import annotations

from typing import Any

from tests import llama_cpp_hosts as lab
from tests.engines.llama_cpp_releases import archive_name
from tests.llama_cpp_checks import AsPlanned
from tests.llama_cpp_servers import OLD


class TestRolledBack(AsPlanned):
    build = OLD


def test_the_way_back_needs_no_download(host: Any) -> None:
    fetched = [path for path in lab.requests(lab.name_of(host)) if path.endswith(archive_name(OLD))]
    assert len(fetched) == 1


def test_the_tree_is_the_one_that_it_was(host: Any) -> None:
    assert lab.tree(host) in lab.recorded()["trees"][lab.name_of(host)]
