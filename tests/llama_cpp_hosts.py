"""What the tests of the scenario `llama_cpp` look at: servers, asked as the router asks them, their units and trees."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import testinfra

from tests.background import ROOT
from tests.llama_cpp_servers import BUILD

HOSTS = ("oak", "elm")
USER = "homelab-llama-cpp"
DIRECTORY = "/opt/homelab-llm/llama_cpp"
TEMPLATE = "homelab-llm-llama-cpp@.service"
# Model of both hosts -> its port, the slots and the tokens of each; the larger one is started first.
PORTS = {"smollm2": 8100, "fir": 8101}
SLOTS = {"smollm2": [2048, 2048], "fir": [4096]}
# Of oak alone, out of an Ollama's store.
STORED, STORED_PORT = "yew", 8102
RECORD = BUILD / "record.json"
INVENTORY = ROOT / "molecule" / "llama_cpp" / "inventory"


def unit(model: str) -> str:
    return f"homelab-llm-llama-cpp@{model}.service"


def name_of(host: Any) -> str:
    """oak or elm."""
    return str(host.backend.hostname)


def models(host: Any) -> list[str]:
    return sorted([*PORTS, *([STORED] if name_of(host) == "oak" else [])])


def reach(name: str) -> Any:
    return testinfra.get_host(f"ssh://{name}", ssh_config=str(BUILD / "ssh_config"))


def address(name: str) -> str:
    return str(json.loads((BUILD / "addresses.json").read_text(encoding="utf-8"))[name])


def call(host: Any, model: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """What a model's server answers to this machine, which is where the router would be."""
    port = STORED_PORT if model == STORED else PORTS[model]
    url = f"http://{address(name_of(host))}:{port}{path}"
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"}), timeout=120) as answer:
        return json.load(answer)


def is_well(host: Any, model: str) -> bool:
    try:
        return bool(call(host, model, "/health") == {"status": "ok"})
    except OSError:
        return False


def show(host: Any, model: str, name: str) -> str:
    """One property of a model's unit as systemd says it."""
    return str(host.check_output("systemctl show --property %s --value %s", name, unit(model))).strip()


def identities(name: str) -> dict[str, str]:
    """Model -> its process and when that was started; the pair is never used again."""
    host = reach(name)
    return {model: f"{show(host, model, 'MainPID')} {show(host, model, 'ExecMainStartTimestampMonotonic')}" for model in PORTS}


def unit_files(host: Any) -> list[str]:
    """Files and folders of the collection's units."""
    return sorted(host.run("ls -d /etc/systemd/system/homelab-llm-*").stdout.split())


def tree(host: Any) -> str:
    """The name of the tree that `current` leads to."""
    return str(host.check_output("basename $(readlink -f %s/current)", DIRECTORY))


def trees(host: Any) -> list[str]:
    return sorted(host.check_output("ls %s/versions", DIRECTORY).split())


def program(host: Any, model: str) -> str:
    """What a model's server is run from."""
    return str(host.check_output("readlink /proc/%s/exe", show(host, model, "MainPID")))


def files(name: str) -> list[str]:
    """All that the role has put on a host, with sizes and times; archives that were fetched apart."""
    shown = "find %s /etc -path %s -prune -o -type f,l -printf '%%p %%s %%T@ %%l\n'"
    return sorted(reach(name).run(shown, DIRECTORY, f"{DIRECTORY}/archives").stdout.splitlines())


def requests(name: str) -> list[str]:
    """Paths that a host has asked the mirror for."""
    lines = (BUILD / "mirror.jsonl").read_text(encoding="utf-8").splitlines() if (BUILD / "mirror.jsonl").is_file() else []
    return [found["path"] for found in map(json.loads, lines) if found["host"] == address(name)]


def record(**facts: Any) -> None:
    """Note something for a later step."""
    RECORD.write_text(json.dumps({**recorded(), **facts}), encoding="utf-8")


def recorded() -> dict[str, Any]:
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}


def install(host: str, **variables: Any) -> tuple[int, str]:
    """Run install.yml for one host with these variables, as molecule would; its exit code and what it said."""
    # A plan of its own: molecule's own runs find theirs as they left it.
    extra = json.dumps({"llm_build_directory": str(BUILD / "other"), **variables})
    command = [
        "ansible-playbook",
        f"--inventory={INVENTORY}",
        f"--limit={host}",
        f"--extra-vars={extra}",
        "playbooks/install.yml",
    ]
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def wait(condition: Callable[[], bool], limit_s: float = 60.0) -> bool:
    ends = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.2)
    return True
