"""What the tests of the scenario `systemd` look at: the units of the collection on a host that is reached over ssh."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

BUILD = Path(__file__).resolve().parents[1] / "build" / "molecule" / "systemd"
RECORD = BUILD / "units.yml"
ENGINE, EMBEDDING = "homelab-llm-llama-cpp@smollm2-135m-4k", "homelab-llm-llama-cpp@smollm2-135m-mean-embedding"
ROUTER = "homelab-llm-litellm"
# Both servers are instances of one unit.
UNIT_FILES = ["homelab-llm-litellm.service", "homelab-llm-llama-cpp@.service"]
USERS = {ENGINE: "homelab-llama-cpp", EMBEDDING: "homelab-llama-cpp", ROUTER: "homelab-litellm"}
PORTS = {ENGINE: 18100, EMBEDDING: 18101, ROUTER: 18400}
READY = {ENGINE: "/health", EMBEDDING: "/health", ROUTER: "/health/readiness"}
DIRECTORY = "/opt/homelab-llm"
KEY_FILE = f"{DIRECTORY}/litellm/current/router.env"


def show(host: Any, unit: str, name: str) -> str:
    """One property of a unit as systemd says it."""
    return host.check_output("systemctl show --property %s --value %s.service", name, unit).strip()


def unit_files(host: Any) -> list[str]:
    """The collection's units that systemd has a file of; with none, systemctl says nothing and ends with 1."""
    lines = host.run("systemctl list-unit-files --no-legend --plain 'homelab-llm-*'").stdout.splitlines()
    return sorted(line.split()[0] for line in lines)


def identities(host: Any) -> dict[str, str]:
    """Unit -> its main process and when that was started; the pair is never used again."""
    return {unit: f"{show(host, unit, 'MainPID')} {show(host, unit, 'ExecMainStartTimestampMonotonic')}" for unit in USERS}


def recorded() -> dict[str, str]:
    """The identities as the first converge and its tests left them."""
    return yaml.safe_load(RECORD.read_text(encoding="utf-8"))


def status(host: Any, unit: str) -> int:
    """HTTP status of the unit's health page; 0 where nobody answers."""
    script = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).status)"
    done = host.run("python3 -c %s %s", script, f"http://127.0.0.1:{PORTS[unit]}{READY[unit]}")
    return int(done.stdout) if done.rc == 0 else 0


def wait(condition: Callable[[], bool], limit_s: float = 90.0) -> bool:
    ends = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.5)
    return True
