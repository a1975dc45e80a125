"""What the tests of the scenario `ollama` look at: engines, asked as the router asks them, hosts, and the registry's counts."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import testinfra

from tests.ollama_servers import BUILD, ROOT, models

HOSTS = ("larch", "rowan")
OLD, NEW = "0.24.0", "0.33.0"
UNIT = "homelab-llm-ollama"
WATCHDOG = f"{UNIT}-watchdog"
USER = "homelab-ollama"
DIRECTORY = "/opt/homelab-llm/ollama"
STORE = "/srv/models"
STATE = f"{DIRECTORY}/state"
TEXTFILE = "/var/lib/prometheus/node-exporter/homelab_llm_residency.prom"
PORT = 11434
PERIOD_S = 5.0
# A model is loaded in a second or two; a neighbour on the same machine may make that twenty.
LOAD_S = 60.0
RECORD = BUILD / "processes.json"
FOREVER = "2100"


@dataclass(frozen=True)
class Resident:
    """A model that has to be in a host's memory: its name there, the name it has in the registry, its context."""

    name: str
    source: str
    context_tokens: int
    is_embedding: bool = False


def servers() -> dict[str, Any]:
    return json.loads((BUILD / "servers.json").read_text(encoding="utf-8"))


def address(host: str) -> str:
    return str(json.loads((BUILD / "addresses.json").read_text(encoding="utf-8"))[host])


def residents(host: str) -> list[Resident]:
    """The host's models as the inventory has them, in the order in which they are loaded."""
    registry = servers()["registry"]
    smollm2 = Resident(f"{registry}/lab/smollm2:135m", "lab/smollm2:135m", 4096)
    own = {
        "larch": [Resident(f"homelab/{registry.replace(':', '-')}-lab-alder:tiny-ctx8192", "lab/alder:tiny", 8192)],
        "rowan": [
            Resident(f"{registry}/lab/willow:encoder", "lab/willow:encoder", 512, is_embedding=True),
            Resident("hazel:latest", "library/hazel:latest", 4096),
        ],
    }
    return [smollm2, *own[host]]


def planned_name(name: str) -> str:
    """A model's name as the plan has it: the engine puts a tag to it."""
    return name.removesuffix(":latest")


def name_of(host: Any) -> str:
    """larch or rowan."""
    return str(host.backend.hostname)


def reach(name: str) -> Any:
    """A host over ssh, the stranger too."""
    return testinfra.get_host(f"ssh://{name}", ssh_config=str(BUILD / "ssh_config"))


def call(host: str, path: str, body: Mapping[str, Any] | None = None, timeout_s: float = 120.0) -> Any:
    """What the host's engine answers to this machine, which is where the router would be."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address(host)}:{PORT}{path}", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{host}: {path}: {error.code} {error.read().decode(errors='replace')[:500]}") from error


def loaded(host: str) -> dict[str, dict[str, Any]]:
    """Name -> what /api/ps says; nothing where the engine does not answer."""
    try:
        return {entry["name"]: entry for entry in call(host, "/api/ps", timeout_s=10)["models"]}
    except OSError:
        return {}


def is_resident(host: str) -> bool:
    """Whether just the planned models are in memory, with their context, for ever."""
    found = loaded(host)
    return set(found) == {resident.name for resident in residents(host)} and all(
        found[resident.name]["context_length"] == resident.context_tokens and found[resident.name]["expires_at"][:4] >= FOREVER
        for resident in residents(host)
    )


def show(host: Any, unit: str, name: str) -> str:
    """One property of a unit as systemd says it."""
    return host.check_output("systemctl show --property %s --value %s", name, unit).strip()


def main_process(host: Any) -> str:
    return show(host, f"{UNIT}.service", "MainPID")


def identity(host: Any) -> str:
    """The engine's process and when it was started; the pair is never used again."""
    return f"{main_process(host)} {show(host, f'{UNIT}.service', 'ExecMainStartTimestampMonotonic')}"


def tree(host: Any) -> str:
    """The tree that `current` leads to."""
    return host.check_output("readlink -f %s/current", DIRECTORY)


def trees(host: Any) -> list[str]:
    return host.check_output("ls %s/versions", DIRECTORY).split()


def record(**facts: Any) -> None:
    """Note something for a later step."""
    RECORD.write_text(json.dumps({**recorded(), **facts}), encoding="utf-8")


def recorded() -> dict[str, Any]:
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}


def counts() -> dict[str, dict[str, int]]:
    """What went out of the registry since it was started: path -> requests and bytes."""
    file = BUILD / "registry.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def blob_bytes() -> int:
    return sum(count["bytes"] for path, count in counts().items() if "/blobs/" in path)


def mirror_requests() -> list[dict[str, Any]]:
    file = BUILD / "mirror.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


@functools.cache
def manifest(source: str) -> bytes:
    """A manifest as it is in the registry."""
    repository, _colon, tag = source.partition(":")
    assert source in models()
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    url = f"http://{servers()['registry']}/v2/{repository}/manifests/{tag}"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": kind}), timeout=30) as answer:
        return bytes(answer.read())


def weights(source: str) -> dict[str, Any]:
    """The layer of the manifest that is the model's file: digest and size."""
    layers = json.loads(manifest(source))["layers"]
    return next(layer for layer in layers if layer["mediaType"] == "application/vnd.ollama.image.model")


def counted(source: str) -> int:
    """Bytes of a model's file that went out of the registry."""
    repository, _colon, _tag = source.partition(":")
    return counts().get(f"/v2/{repository}/blobs/{weights(source)['digest']}", {"bytes": 0})["bytes"]


def planned_bytes() -> dict[str, int]:
    """Bytes that went out of the registry for the file of each planned model."""
    return {resident.source: counted(resident.source) for name in HOSTS for resident in residents(name)}


def digest(source: str) -> str:
    return hashlib.sha256(manifest(source)).hexdigest()


def events(host: Any) -> list[dict[str, Any]]:
    """What the watchdog noted."""
    file = host.file(f"{STATE}/events.jsonl")
    return [json.loads(line) for line in file.content_string.splitlines()] if file.exists else []


SCENARIO = ROOT / "molecule" / "ollama"
INSTALL = ROOT / "playbooks" / "install.yml"


def begin(path: Path, hosts: str = "all", **variables: Any) -> subprocess.Popen[str]:
    """Start a playbook with these variables, as molecule would."""
    fixed = {"llm_build_directory": str(BUILD)}
    command = ["ansible-playbook", f"--inventory={SCENARIO / 'inventory'}", f"--limit={hosts}", "--diff"]
    command += [f"--extra-vars={json.dumps({**fixed, **variables})}", str(path)]
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, env=env, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def play(path: Path, hosts: str = "all", **variables: Any) -> tuple[int, str]:
    """Run a playbook; its exit code and what it said."""
    process = begin(path, hosts, **variables)
    said = process.communicate(timeout=300)[0]
    return process.returncode, said


@contextmanager
def full_disk(name: str, left_bytes: int = 20 * 2**20) -> Iterator[None]:
    """Only so much room where a host has its models."""
    host = reach(name)
    free = int(host.check_output("df --output=avail -B1 /srv | tail -n 1"))
    host.check_output("fallocate -l %s /srv/filling", str(free - left_bytes))
    try:
        yield
    finally:
        host.check_output("rm /srv/filling")


def wait(condition: Callable[[], bool], limit_s: float = LOAD_S) -> bool:
    ends = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.2)
    return True
