"""After the first converge: the version that the inventory names, with its models."""

from __future__ import annotations

from typing import Any

from tests import ollama_hosts as lab
from tests.ollama_checks import AsPlanned


class TestConverged(AsPlanned):
    version = lab.OLD


def test_every_model_left_the_registry_once() -> None:
    """smollm2 too, which both hosts have: the second one copied it."""
    sources = {resident.source for name in lab.HOSTS for resident in lab.residents(name)}
    assert lab.planned_bytes() == {source: lab.weights(source)["size"] for source in sources}


def test_nothing_is_shared_any_more(host: Any) -> None:
    """The copy is over: nobody listens for it, and no process is left."""
    assert "ollama_share" not in host.check_output("ps -eo args")


def test_remember_what_was_fetched_and_who_runs() -> None:
    """Later steps compare with this."""
    engines = {name: lab.identity(lab.reach(name)) for name in lab.HOSTS}
    lab.record(engines=engines, blob_bytes=lab.blob_bytes())
