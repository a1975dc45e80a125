"""A release that is not what it should be, and models without room, are refused before anything is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests import ollama_hosts as lab

# Where each host takes the newer release from, and what is then said of it.
RELEASES = {"larch": "corrupted", "rowan": "wrong"}
REASONS = {"larch": "fetch it again", "rowan": f"expected {'0123456789abcdef' * 4}"}


@pytest.fixture(autouse=True)
def nothing_is_replaced() -> Iterator[None]:
    """Process, tree, trees beside it, models on disk and in memory: as they were."""
    before = {name: state(name) for name in lab.HOSTS}
    yield
    assert {name: state(name) for name in lab.HOSTS} == before
    assert [name for name in lab.HOSTS if not lab.is_resident(name)] == []


def state(name: str) -> list[Any]:
    host = lab.reach(name)
    files = host.check_output("ls %s/blobs", lab.STORE)
    return [lab.identity(host), lab.tree(host), lab.trees(host), files, lab.call(name, "/api/version")]


def failures(output: str) -> dict[str, str]:
    """Host -> what its failed task said."""
    marks = {name: f"fatal: [{name}]" for name in lab.HOSTS}
    said = {name: output.split(mark, 1)[1].split("\n\n", 1)[0] for name, mark in marks.items() if mark in output}
    # Long lines are wrapped.
    return {name: " ".join(text.split()) for name, text in said.items()}


def test_a_corrupted_archive_and_a_wrong_checksum_replace_nothing() -> None:
    """The one archive has the checksum that is told and cannot be unpacked, the other is whole and has another checksum."""
    code, said = lab.play(lab.INSTALL, ollama_lab_version=lab.NEW, ollama_lab_releases=RELEASES)
    assert code != 0
    found = failures(said)
    assert set(found) == set(lab.HOSTS), said
    assert [name for name in lab.HOSTS if REASONS[name] not in found[name]] == [], found


def test_models_without_room_are_refused_on_every_host_before_the_pull() -> None:
    """rowan is to have one more model, and its disk is full: larch is not touched either."""
    before = lab.blob_bytes()
    with lab.full_disk("rowan"):
        code, said = lab.play(lab.INSTALL, **with_another_model())
    assert code != 0
    assert "Nothing was touched, on no host. rowan: /srv/models has 20.0 MiB free" in said, said
    assert lab.blob_bytes() == before


def with_another_model() -> dict[str, Any]:
    """The inventory's variables with one more model on rowan."""
    text = (lab.SCENARIO / "inventory" / "group_vars" / "all" / "lab.yml").read_text(encoding="utf-8")
    intent = yaml.safe_load(text)
    declared = {**intent["llm_models"]["smollm2"]["declared"], "file_bytes": lab.weights("lab/cedar:slow")["size"]}
    source = {"kind": "ollama", "name": f"{lab.servers()['registry']}/lab/cedar:slow"}
    return {
        "llm_models": {**intent["llm_models"], "cedar": {"source": source, "context_tokens": 4096, "declared": declared}},
        "llm_workloads": {**intent["llm_workloads"], "slow": intent["llm_workloads"]["chat"]},
        "llm_assignments": {**intent["llm_assignments"], "slow": [{"model": "cedar", "host": "rowan"}]},
    }
