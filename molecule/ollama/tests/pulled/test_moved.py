"""A name that means another file than yesterday: the next converge has that file in memory, and nothing else changes."""

from __future__ import annotations

import pytest

from tests import ollama_hosts as lab
from tests.ollama_servers import push_moved

MOVED = "lab/willow:encoder"


def blob(digest: str) -> str:
    return digest.replace(":", "-")


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    """What there was before the name moved."""
    found = {name: lab.identity(lab.reach(name)) for name in lab.HOSTS} | {"blob": blob(lab.weights(MOVED)["digest"])}
    push_moved(MOVED)
    lab.manifest.cache_clear()
    assert blob(lab.weights(MOVED)["digest"]) != found["blob"]
    code, said = lab.play(lab.INSTALL)
    assert code == 0, said
    return found


def test_the_new_file_is_in_memory_and_the_old_one_is_gone(before: dict[str, str]) -> None:
    """An Ollama goes on with a loaded file whatever its name means by now, so this one was started again."""
    host, new = lab.reach("rowan"), blob(lab.weights(MOVED)["digest"])
    assert lab.is_resident("rowan")
    assert lab.identity(host) != before["rowan"]
    commands = host.check_output("ps -u %s -o args=", lab.USER)
    assert (new in commands, before["blob"] in commands) == (True, False)
    blobs = host.check_output("ls %s/blobs", lab.STORE).split()
    assert (new in blobs, before["blob"] in blobs) == (True, False)


def test_the_host_without_that_model_is_left_alone(before: dict[str, str]) -> None:
    assert lab.identity(lab.reach("larch")) == before["larch"]
    assert lab.is_resident("larch")


def test_the_new_file_was_fetched_once(before: dict[str, str]) -> None:
    assert lab.counted(MOVED) == lab.weights(MOVED)["size"]
    # From here on nothing planned is fetched again.
    lab.record(planned_bytes=lab.planned_bytes())
