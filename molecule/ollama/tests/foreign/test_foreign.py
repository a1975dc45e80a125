"""Upgraded again, with models that nobody planned: they are reported and stay, until somebody asks for their removal."""

from __future__ import annotations

import pytest

from tests import ollama_hosts as lab

# By the drills: what a client has pulled, and what was pulled by hand.
GUESTS = {"larch": {"library/hazel:latest", "lab/cedar:slow"}, "rowan": {"lab/alder:tiny"}}


def installed(name: str) -> set[str]:
    return {entry["name"] for entry in lab.call(name, "/api/tags")["models"]}


def guests(name: str) -> set[str]:
    return {f"{lab.servers()['registry']}/{guest}" for guest in GUESTS[name]}


@pytest.fixture(scope="module")
def output() -> str:
    """Removal is asked for on rowan alone."""
    assert {name: guests(name) <= installed(name) for name in lab.HOSTS} == dict.fromkeys(lab.HOSTS, True)
    (lab.BUILD / "version").write_text(lab.NEW)
    code, said = lab.play(lab.INSTALL, ollama_remove_foreign_models="{{ inventory_hostname == 'rowan' }}")
    assert code == 0, said
    # Long lines are wrapped.
    return " ".join(said.split())


def test_they_are_reported_and_stay(output: str) -> None:
    report = output.partition("larch has models that the plan does not know: ")[2].partition(". They stay")[0]
    assert set(report.split(", ")) == guests("larch")
    assert "rowan has models" not in output
    assert guests("larch") <= installed("larch")


def test_they_are_removed_where_that_is_asked_for(output: str) -> None:
    planned = {resident.name for resident in lab.residents("rowan")}
    assert installed("rowan") == planned


def test_the_files_of_those_that_were_removed_are_gone(output: str) -> None:
    blobs = lab.reach("rowan").check_output("ls %s/blobs", lab.STORE)
    assert lab.weights("lab/alder:tiny")["digest"].replace(":", "-") not in blobs
    assert lab.weights("library/hazel:latest")["digest"].replace(":", "-") in blobs


def test_the_planned_ones_are_still_in_memory(output: str) -> None:
    assert [name for name in lab.HOSTS if not lab.is_resident(name)] == []
