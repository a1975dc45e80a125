"""After the second converge: the very same processes, and nothing fetched."""

from __future__ import annotations

from tests import ollama_hosts as lab


def test_a_second_converge_restarts_nothing() -> None:
    assert {name: lab.identity(lab.reach(name)) for name in lab.HOSTS} == lab.recorded()["engines"]


def test_a_second_converge_fetches_nothing() -> None:
    assert lab.blob_bytes() == lab.recorded()["blob_bytes"]
    archives = [request for request in lab.mirror_requests() if request["path"].endswith(".zst")]
    assert [request["host"] for request in archives].count(lab.address("larch")) == 1
    assert len(archives) == len(lab.HOSTS)


def test_the_set_is_in_memory() -> None:
    assert [name for name in lab.HOSTS if not lab.is_resident(name)] == []
