"""Models of real Ollamas, from a real registry: pulled, resumed, copied, derived, removed; every byte counted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils.model_work import Wanted, work
from plugins.module_utils.share_process import started, stopped
from plugins.module_utils.store_write import PARTIAL
from plugins.module_utils.transfer_progress import Limits, ModelProblem
from tests.engines.conftest import built
from tests.engines.servers import Server, ollama
from tests.engines.small_models import llama
from tests.gguf_files import write_gguf
from tests.real.registry import Registry, Unavailable, running
from tests.real.registry_proxy import RegistryProxy, proxied

pytestmark = pytest.mark.engines

VERSIONS = ["ollama-0.24.0", "ollama-0.33.0"]
ROOT = Path(__file__).parents[2]
CONFIG = b'{"model_format":"gguf","model_family":"llama"}'
PARAMETERS = {"params": [b'{"num_ctx":4096,"stop":["a","b"]}'], "template": [b"{{ .Prompt }}"]}
# Ollama itself gives up or tells of nothing for longer than a test may take.
LIMITS = {"total_s": 60.0, "stall_s": 2.0, "attempts": 3, "pause_s": 0.1}


@dataclass
class House:
    """Two engines of one version and a registry that both reach through an address that counts."""

    first: Server
    second: Server
    registry: Registry
    proxy: RegistryProxy
    root: Path
    weights: bytes

    @property
    def name(self) -> str:
        return f"{self.proxy.host}/library/m:latest"

    def store(self, server: Server) -> Path:
        return self.root / ("first" if server is self.first else "second") / "models"

    def push(self, weights: bytes) -> None:
        self.registry.push("library/m", "latest", {"model": [weights], **PARAMETERS}, CONFIG)

    def do(self, server: Server, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        wanted = {"name": self.name, "url": server.url, "insecure": True, "models_directory": str(self.store(server)), **options}
        return work(Wanted(**wanted), check_mode, Limits(**LIMITS))

    def shown(self, server: Server) -> dict[str, str]:
        return {item["name"]: item["digest"] for item in server.ask("/api/tags")["models"]}

    def blobs(self, server: Server) -> set[str]:
        return {path.name for path in (self.store(server) / "blobs").iterdir()}


@pytest.fixture(scope="session")
def weights(files: Path) -> bytes:
    return llama("pulled").write(files).read_bytes()


@pytest.fixture(params=VERSIONS)
def house(request: pytest.FixtureRequest, tmp_path: Path, weights: bytes) -> Iterator[House]:
    build = built(request.param)
    for name in ("registry", "first", "second"):
        (tmp_path / name).mkdir()
    # As the role starts them: what is replaced is not removed by the engine.
    settings = {"OLLAMA_NOPRUNE": "1"}
    with contextlib.ExitStack() as stack:
        try:
            registry = stack.enter_context(running(tmp_path / "registry"))
        except Unavailable as reason:
            pytest.skip(str(reason))
        proxy = stack.enter_context(proxied(registry.host))
        first = stack.enter_context(ollama(build, tmp_path / "first", settings))
        second = stack.enter_context(ollama(build, tmp_path / "second", settings))
        made = House(first, second, registry, proxy, tmp_path, weights)
        made.push(weights)
        yield made


def test_present_from_the_registry_then_copied(house: House, tmp_path: Path) -> None:
    """Two hosts, one model: the second copies from the first, the bytes of the registry are counted once."""
    planned = house.do(house.first, check_mode=True)
    found = house.do(house.first)
    assert (planned["changed"], planned["digest"], planned["size_bytes"]) == (True, found["digest"], found["size_bytes"])
    assert (found["via"], found["downloaded_bytes"], house.shown(house.first)) == (
        "registry", found["size_bytes"], {house.name: found["digest"]},
    )  # fmt: skip
    assert house.proxy.counts.blob_bytes == found["size_bytes"]
    assert house.do(house.first)["changed"] is False
    directory = str(tmp_path / "shares")
    options = {"models": [house.name], "models_directory": str(house.store(house.first)), "port": 0, "directory": directory}
    share = started({**options, "address": "127.0.0.1", "allowed_address": "127.0.0.1", "idle_s": 60, "limit_s": 60}, False)
    try:
        copied = house.do(house.second, copy_from={"url": share["url"], "token": share["token"]})
    finally:
        stopped(directory, None, False)
    assert (copied["via"], copied["copied_bytes"], copied["downloaded_bytes"]) == ("copy", found["size_bytes"], 0)
    assert house.shown(house.second) == house.shown(house.first)
    assert house.blobs(house.second) == house.blobs(house.first)
    assert house.proxy.counts.blob_bytes == found["size_bytes"]
    assert house.do(house.second)["changed"] is False


def test_a_pull_that_stands_still_goes_on(house: House) -> None:
    """Every answer stops after some bytes: it is broken off, and begun again where it ended."""
    house.proxy.behaviour.stall_after_bytes = 6 * 2**20
    found = house.do(house.first)
    assert (found["changed"], found["downloaded_bytes"]) == (True, found["size_bytes"])
    assert found["size_bytes"] <= house.proxy.counts.blob_bytes < found["size_bytes"] + 2**20


def test_a_connection_that_is_cut_again_and_again(house: House) -> None:
    house.proxy.behaviour.cut_after_bytes = 4 * 2**20
    found = house.do(house.second, name="plain:7b", **house_mirror(house))
    assert (found["via"], found["downloaded_bytes"]) == ("mirror", found["size_bytes"])
    assert house.shown(house.second) == {"plain:7b": found["digest"]}
    assert house.proxy.counts.blob_bytes == found["size_bytes"]
    assert not [name for name in house.blobs(house.second) if name.endswith(PARTIAL)]
    assert "num_ctx" in house.second.ask("/api/show", {"model": "plain:7b"})["parameters"]


def house_mirror(house: House) -> dict[str, str]:
    """The registry as a mirror that has the model under the plain name as well."""
    house.registry.push("library/plain", "7b", {"model": [house.weights], **PARAMETERS}, CONFIG)
    return {"mirror": house.proxy.host}


def kept_bytes(house: House) -> int:
    """What the store of the first engine has of unfinished weights, of the engine's own or of this collection's."""
    total = 0
    for path in (house.store(house.first) / "blobs").iterdir():
        if path.name.endswith(PARTIAL):
            total += path.stat().st_size
        elif "-partial-" in path.name:
            total += int(json.loads(path.read_text())["Completed"])
    return total


@pytest.mark.parametrize("via", ["registry", "mirror"])
def test_a_killed_run_goes_on(house: House, via: str) -> None:
    """The module is killed in the middle of the weights; what is there by then is not fetched again."""
    more = {"name": "plain:7b", **house_mirror(house)} if via == "mirror" else {}
    options = {
        "name": house.name,
        "url": house.first.url,
        "insecure": True,
        "models_directory": str(house.store(house.first)),
        **more,
    }
    house.proxy.behaviour.bytes_per_s = 4e6
    call = f"from plugins.module_utils.model_work import *; work(Wanted(**{options!r}), False)"
    process = subprocess.Popen([sys.executable, "-c", call], cwd=ROOT)
    try:
        ends = time.monotonic() + 30
        while house.proxy.counts.blob_bytes < 5e6 and time.monotonic() < ends:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    house.proxy.behaviour.bytes_per_s = None
    # The engine sees that nobody listens any more, and the proxy that nobody takes any more.
    time.sleep(1)
    assert house.shown(house.first) == {}
    kept, sent = kept_bytes(house), house.proxy.counts.blob_bytes
    assert 2**20 < kept < len(house.weights)
    found = house.do(house.first, **more)
    assert (found["via"], found["downloaded_bytes"]) == (via, found["size_bytes"] - kept)
    assert house.proxy.counts.blob_bytes - sent == found["downloaded_bytes"]
    assert house.do(house.first, **more)["changed"] is False


def test_a_newer_version_replaces_the_older(house: House) -> None:
    old = house.do(house.first)
    before = house.blobs(house.first)
    house.push(house.weights[:-1] + b"\1")
    assert house.do(house.first, update=False)["changed"] is False
    with pytest.raises(ModelProblem, match="nothing was fetched"):
        house.do(house.first, digest="0" * 64)
    new = house.do(house.first)
    assert (new["changed"], new["digest"] != old["digest"]) == (True, True)
    # The weights are another blob, everything else is the same one; nothing is left over.
    assert (len(house.blobs(house.first) & before), len(house.blobs(house.first))) == (len(before) - 1, len(before))


def parameters(house: House, name: str) -> list[str]:
    said = house.first.ask("/api/show", {"model": name})["parameters"]
    return sorted(" ".join(line.split()) for line in said.splitlines())


def test_derived_from_a_model_and_removed(house: House) -> None:
    house.do(house.first)
    wanted = {
        "name": "homelab/m:ctx512",
        "state": "derived",
        "from_model": house.name,
        "parameters": {"num_ctx": 512, "num_batch": 64},
    }
    assert house.do(house.first, check_mode=True, **wanted)["changed"] is True
    made = house.do(house.first, **wanted)
    assert (made["changed"], made["via"]) == (True, "create")
    assert house.do(house.first, **wanted)["changed"] is False
    assert parameters(house, "homelab/m:ctx512") == ["num_batch 64", "num_ctx 512", 'stop "a"', 'stop "b"']
    assert house.do(house.first, **{**wanted, "parameters": {"num_ctx": 256}})["changed"] is True
    house.push(house.weights[:-1] + b"\1")
    house.do(house.first)
    again = house.do(house.first, **{**wanted, "parameters": {"num_ctx": 256}})
    assert "was made of something else" in again["msg"]
    assert house.do(house.first, state="absent")["changed"] is True
    assert house.do(house.first, state="absent")["changed"] is False
    assert parameters(house, "homelab/m:ctx512") == ["num_ctx 256", 'stop "a"', 'stop "b"']
    house.do(house.first, name="homelab/m:ctx512", state="absent")
    assert house.blobs(house.first) == set()


def test_derived_from_a_file(house: House, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(house.weights)
    wanted = {
        "name": "homelab/f:512",
        "state": "derived",
        "from_file": str(path),
        "parameters": {"num_ctx": 512, "temperature": 0.7},
    }
    assert house.do(house.first, check_mode=True, **wanted)["changed"] is True
    assert house.do(house.first, **wanted)["changed"] is True
    assert house.do(house.first, **wanted)["changed"] is False
    # Once in the store, whether the engine has written it anew or not.
    sizes = [entry.stat().st_size for entry in (house.store(house.first) / "blobs").iterdir()]
    assert len([size for size in sizes if size > 2**20]) == 1
    path.write_bytes(house.weights[:-1] + b"\1")
    assert "was made of something else" in house.do(house.first, **wanted)["msg"]
    assert house.do(house.first, **wanted)["changed"] is False


def changes(house: House, **wanted: Any) -> list[bool]:
    """Whether a wish changes something when it is told twice."""
    return [house.do(house.first, **wanted)["changed"] for _time in range(2)]


def test_parameters_of_any_kind_are_made_once(house: House) -> None:
    house.do(house.first)
    odd = ["User:\nX", "\n\n", "\x1b[0m\x7f\a", "\xa0\u2028\u200b\U000e0001", 'ü😀 "q" \\n \\', "`", " a "]
    numbers = {"seed": 12345678901234567, "num_ctx": 1048576, "top_p": 1e-7, "temperature": 0.1, "num_gpu": -1}
    for parameters in ({"stop": odd}, {"stop": []}, numbers, {}, {"stop": "x", "num_ctx": "512", "use_mmap": "True"}):
        for place in ({}, {"models_directory": None}):
            wanted = {"name": f"homelab/p:{len(place)}", "state": "derived", "from_model": house.name, "parameters": parameters}
            assert changes(house, **wanted, **place) == [True, False], parameters


def test_every_line_of_the_system_prompt_counts(house: House) -> None:
    wanted = {"name": "homelab/s:1", "state": "derived", "from_model": house.name, "parameters": {"num_ctx": 512}}
    for place in ({}, {"models_directory": None}):
        for system in (b"# A\nBe", b"# B\nBe", b"Be\nPARAMETER a", b"Be\nPARAMETER b", b"Be\n\nPARAMETER b"):
            house.registry.push("library/m", "latest", {"model": [house.weights], "system": [system], **PARAMETERS}, CONFIG)
            house.do(house.first)
            assert changes(house, **wanted, **place) == [True, False], system


def test_what_stops_a_model_of_a_file_goes_when_it_is_no_longer_given(house: House, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(house.weights)
    wanted = {"name": "homelab/f:1", "state": "derived", "from_file": str(path)}
    for more in ({"stop": ["A\n"]}, {}, {"stop": []}):
        assert changes(house, **wanted, parameters={"num_ctx": 512, **more}) == [True, False], more
    assert parameters(house, "homelab/f:1") == ["num_ctx 512"]


@pytest.mark.parametrize("house", VERSIONS[-1:], indirect=True)
def test_a_file_that_the_engine_refuses_does_not_stay(house: House, tmp_path: Path) -> None:
    """Whole, but of no architecture; before 0.30 the engine takes that."""
    path = tmp_path / "model.gguf"
    write_gguf(path, {"general.architecture": "nothing"}, [("a", (32, 32), "f32")])
    house.do(house.first)
    before = house.blobs(house.first)
    with pytest.raises(ModelProblem, match="could not make it"):
        house.do(house.first, name="homelab/f:2", state="derived", from_file=str(path))
    assert house.blobs(house.first) == before


PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Have the model
      homelab.llm.ollama_model: &wanted
        name: "{{ model }}"
        url: "{{ url }}"
        insecure: true
        models_directory: "{{ store }}"
    - name: Still have it
      homelab.llm.ollama_model: *wanted
"""


@pytest.mark.parametrize("house", VERSIONS[-1:], indirect=True)
def test_two_hosts_at_once_show_how_far_they_are(house: House, tmp_path: Path) -> None:
    """A play over two hosts: what is said, that nothing is said the second time, and that no job is left behind."""
    # Longer than the ten seconds between two lines.
    house.proxy.behaviour.bytes_per_s = len(house.weights) / 16
    python = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "model": house.name}
    servers = {"one": house.first, "two": house.second}
    hosts = {name: {**python, "url": server.url, "store": str(house.store(server))} for name, server in servers.items()}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    (tmp_path / "play.yml").write_text(PLAY)
    environment = {**os.environ, "HOME": str(tmp_path), "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
    command = ["ansible-playbook", "-i", str(tmp_path / "hosts.json"), str(tmp_path / "play.yml")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    first, _task, second = done.stdout.partition("TASK [Still have it]")
    for host in hosts:
        assert f"{host}: {house.name}: pulling from http://{house.proxy.host}: " in first
        assert f"{host}: {house.name}: pulling: " in first
        assert f"changed: [{host}]" in first
        assert f"ok: [{host}]" in second
    assert "iB/s, " in first
    assert " left" in first
    assert house.name not in second
    assert list((tmp_path / ".ansible_async").iterdir()) == []
    assert list((tmp_path / ".ansible/tmp").iterdir()) == []
