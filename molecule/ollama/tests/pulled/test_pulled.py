"""A pull that was killed goes on where it was; one that the disk has no room for is not begun."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests import ollama_hosts as lab
from tests.ollama_servers import behave

SLOW = "lab/cedar:slow"
# Slow enough that a line of progress comes, every ten seconds, before the end.
BYTES_PER_S = 2e6
PROGRESS = re.compile(r"^larch: \S+/lab/cedar:slow: pulling: \d+ %, [\d.]+ MiB of [\d.]+ MiB, [\d.]+ [KM]iB/s, \d+ s left$")
PULL = lab.SCENARIO / "pull.yml"


@pytest.fixture
def slow_registry() -> Iterator[None]:
    behave(bytes_per_s=BYTES_PER_S)
    yield
    behave()


def pulling(host: Any) -> list[str]:
    """Processes that wait for the engine's answer and are not the watchdog's."""
    lines = host.check_output("ss -Htnp dport = :%s", str(lab.PORT)).splitlines()
    found = sorted({match[1] for line in lines if (match := re.search(r"pid=(\d+)", line))})
    return [process for process in found if "residency_watchdog" not in host.file(f"/proc/{process}/cmdline").content_string]


def kept_bytes(host: Any) -> int:
    """What the engine notes that it has of a file: in one part for each 100 MB."""
    part = host.check_output("cat %s/blobs/sha256-%s-partial-0", lab.STORE, lab.weights(SLOW)["digest"].removeprefix("sha256:"))
    return int(json.loads(part)["Completed"])


@pytest.mark.usefixtures("slow_registry")
def test_a_killed_pull_goes_on_where_it_was() -> None:
    """The first pull says how far it is; the second one fetches what the first did not, to the byte."""
    host, size, began = lab.reach("larch"), lab.weights(SLOW)["size"], lab.counted(SLOW)
    first = lab.begin(PULL, "larch", lab_model=SLOW)
    assert any(PROGRESS.match(line.strip()) for line in first.stdout or ())
    (process,) = pulling(host)
    host.check_output("kill -9 %s", process)
    said = first.communicate(timeout=60)[0]
    assert first.returncode != 0, said
    assert lab.wait(lambda: not pulling(host))
    kept, before = kept_bytes(host), lab.counted(SLOW)
    assert size / 4 < kept <= before - began < size
    behave()
    code, said = lab.play(PULL, "larch", lab_model=SLOW)
    assert code == 0, said
    assert lab.counted(SLOW) - before == size - kept
    digests = {entry["name"]: entry["digest"] for entry in lab.call("larch", "/api/tags")["models"]}
    assert digests[f"{lab.servers()['registry']}/{SLOW}"] == lab.digest(SLOW)


def test_a_full_disk_is_refused_before_the_pull() -> None:
    before = lab.blob_bytes()
    with lab.full_disk("rowan"):
        code, said = lab.play(PULL, "rowan", lab_model=SLOW)
    assert code != 0
    assert "MiB free" in said, said
    assert lab.blob_bytes() == before
    assert lab.is_resident("rowan")
