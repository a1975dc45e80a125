"""A model out of the store of an Ollama on the same host: served where it lies, by a server that was let in."""

from __future__ import annotations

from typing import Any

import pytest

from tests import llama_cpp_hosts as lab

STORE = "/usr/share/ollama/.ollama/models"


@pytest.fixture
def oak(host: Any) -> Any:
    if lab.name_of(host) != "oak":
        pytest.skip("only oak has an Ollama's store")
    return host


def test_it_is_served_from_the_blob(oak: Any) -> None:
    found = lab.call(oak, lab.STORED, "/props")
    assert found["model_path"].startswith(f"{STORE}/blobs/sha256-")
    assert (found["model_alias"], found["default_generation_settings"]["n_ctx"]) == (lab.STORED, 1024)


def test_only_the_group_lets_the_server_in(oak: Any) -> None:
    path = lab.call(oak, lab.STORED, "/props")["model_path"]
    assert oak.run("runuser -u %s -- test -r %s", lab.USER, path).rc != 0
    assert oak.user(lab.USER).groups == [lab.USER]
    assert lab.show(oak, lab.STORED, "SupplementaryGroups") == "ollama"


def test_a_server_that_is_not_let_in_is_refused_before_anything_is_started(oak: Any) -> None:
    before = lab.files("oak")
    code, said = lab.install("oak", llama_cpp_groups=[])
    assert code != 0
    text = " ".join(said.split())
    assert "homelab-llama-cpp may not enter /usr/share/ollama (ollama:ollama, mode 0750)" in text
    assert "give it a group that may, such as ollama" in text
    assert lab.files("oak") == before
