"""What the tests of a lab on this machine look at: the plan, and the machine as /proc shows it, whoever started what."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

ROOT = Path(__file__).resolve().parents[1]
# Molecule tells its verifier the scenario. Each has a folder and ports of its own.
SCENARIO = os.environ.get("MOLECULE_SCENARIO_NAME", "embedded")
VARIABLE, DEFAULT = {"embedded-ollama": ("EMBEDDED_OLLAMA_TEST_PORT", "23600")}.get(SCENARIO, ("EMBEDDED_TEST_PORT", "23100"))
BUILD = ROOT / "build" / "molecule" / SCENARIO / ("embedded" if SCENARIO != "embedded" else "")
RECORD = ROOT / "build" / "molecule" / f"{SCENARIO}-processes.json"
# The embedded inventory moves all of its ports within this many from its base.
PORTS = range(int(os.environ.get(VARIABLE, DEFAULT)), int(os.environ.get(VARIABLE, DEFAULT)) + 400)
LISTEN = "0A"
KEY_NAME = b"LITELLM_MASTER_KEY="


@dataclass(frozen=True)
class Listener:
    address: str
    pid: int
    # Clock ticks since boot: a pid that is used again has another.
    started: str
    command: list[str]


def socket_owners() -> dict[str, int]:
    """Socket inode -> pid. Of those that share a socket the youngest: the router's generation, not its main process."""
    owners: dict[str, int] = {}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("socket:["):
            inode, pid = target[8:-1], int(link.parts[2])
            owners[inode] = max(pid, owners.get(inode, pid), key=start_ticks)
    return owners


def start_ticks(pid: int) -> int:
    """Clock ticks from boot to the start of a process; 0 for one that has ended meanwhile."""
    try:
        # The second field is the name in brackets and may hold spaces; the 22nd is the start time.
        return int(Path("/proc", str(pid), "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[19])
    except OSError:
        return 0


def listener(address: str, pid: int) -> Listener:
    process = Path("/proc") / str(pid)
    command = (process / "cmdline").read_bytes().decode().rstrip("\0").split("\0")
    return Listener(address, pid, str(start_ticks(pid)), command)


def listeners() -> dict[int, Listener]:
    """Who listens on the lab's ports; addresses as /proc/net/tcp and tcp6 write them."""
    owners, found = socket_owners(), {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text(encoding="utf-8").splitlines()[1:]:
            fields = line.split()
            address, port = fields[1].split(":")
            if fields[3] == LISTEN and int(port, 16) in PORTS:
                found[int(port, 16)] = listener(address, owners[fields[9]])
    return found


def load_plan() -> dict[str, Any]:
    return yaml.safe_load((BUILD / "plan.yml").read_text(encoding="utf-8"))


def engine_ports(host: str | None = None) -> set[int]:
    """Ports of the plan's resident models, of one host or of all."""
    hosts = load_plan()["hosts"]
    return {urlsplit(one["url"]).port or 0 for name in hosts if host in (None, name) for one in hosts[name]["resident"]}


def router_port() -> int:
    return urlsplit(load_plan()["router"]["url"]).port or 0


def identities() -> dict[str, list[Any]]:
    return {str(port): [found.pid, found.started] for port, found in listeners().items()}


def recorded() -> dict[str, list[Any]]:
    """Processes as the first converge left them."""
    return json.loads(RECORD.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


def ask(path: str, body: dict[str, Any], key: str | None) -> Answer:
    """POST to the router; an HTTP error is an answer too."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    url = load_plan()["router"]["url"] + path
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return Answer(reply.status, {name.lower(): value for name, value in reply.headers.items()}, json.load(reply))
    except urllib.error.HTTPError as error:
        return Answer(error.code, {}, error.read().decode(errors="replace"))


def own_files() -> list[Path]:
    """What the lab wrote, apart from the packages that it installed."""
    found = (path for path in BUILD.rglob("*") if "site-packages" not in path.parts)
    return [path for path in found if path.is_file() and not path.is_symlink()]


def key_file() -> Path:
    """The one file that gives the router its generated key."""
    small = [path for path in own_files() if path.stat().st_size < 1_000]
    found = [path for path in small if KEY_NAME in path.read_bytes()]
    assert len(found) == 1, f"one file with {KEY_NAME!r} expected, found {found}"
    return found[0]


def master_key() -> str:
    return key_file().read_bytes().split(KEY_NAME, 1)[1].split()[0].decode()
