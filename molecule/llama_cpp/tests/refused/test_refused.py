"""Releases that must not be installed: each is refused, with words that help, and the host is as it was."""

from __future__ import annotations

from typing import Any

import pytest

from tests import llama_cpp_hosts as lab
from tests.engines.llama_cpp_releases import archive_name
from tests.llama_cpp_servers import NEW

WRONG = "0123456789abcdef" * 4
# (what the inventory says instead, words of the refusal)
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "wrong checksum": ({"llama_cpp_archive_checksums": {archive_name(NEW): WRONG}}, [archive_name(NEW), WRONG[:12]]),
    "no checksum": ({"llama_cpp_archive_checksums": {}}, ["has no sha256 of " + archive_name(NEW), "page of the release"]),
    "corrupted archive": ({"llama_cpp_lab_releases": "corrupted"}, [archive_name(NEW), "sha256"]),
}


@pytest.mark.parametrize(("variables", "words"), CASES.values(), ids=CASES)
def test_it_is_refused_and_nothing_is_replaced(variables: dict[str, Any], words: list[str]) -> None:
    before = lab.files("oak")
    code, said = lab.install("oak", llama_cpp_version=NEW, **variables)
    assert code != 0
    text = " ".join(said.split())
    assert [word for word in words if word not in text] == [], said[-3000:]
    assert "Traceback" not in said
    assert lab.files("oak") == before


def test_every_server_is_the_one_that_it_was(host: Any) -> None:
    assert lab.identities(lab.name_of(host)) == lab.recorded()["servers"][lab.name_of(host)]
    assert [model for model in lab.PORTS if not lab.is_well(host, model)] == []
