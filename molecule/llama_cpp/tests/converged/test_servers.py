"""After the first converge: the build that the inventory names, a server for each model, and nothing that is older."""

from __future__ import annotations

from typing import Any

from tests import llama_cpp_hosts as lab
from tests.engines.llama_cpp_releases import archive_name
from tests.llama_cpp_checks import AsPlanned
from tests.llama_cpp_servers import OLD


class TestConverged(AsPlanned):
    build = OLD


def test_everything_was_fetched_once(host: Any) -> None:
    fetched = lab.requests(lab.name_of(host))
    assert len(fetched) == 3
    assert sorted(path.rsplit("/", 1)[1] for path in fetched)[:2] == ["fir.gguf", archive_name(OLD)]


def test_a_killed_server_is_back(host: Any) -> None:
    before = lab.show(host, "fir", "MainPID")
    host.check_output("kill -9 %s", before)
    assert lab.wait(lambda: lab.show(host, "fir", "MainPID") not in ("0", before))
    assert lab.wait(lambda: lab.is_well(host, "fir"))
    # A start by hand begins the count anew.
    host.check_output("systemctl restart %s", lab.unit("fir"))
    assert lab.wait(lambda: lab.is_well(host, "fir"))


def test_remember_who_runs() -> None:
    """Later steps compare with this: the second converge must not restart anything."""
    lab.record(
        servers={name: lab.identities(name) for name in lab.HOSTS}, trees={name: lab.trees(lab.reach(name)) for name in lab.HOSTS}
    )
