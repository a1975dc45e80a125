"""What the tests of the scenario `litellm` look at: the router on its host, asked from this machine as its clients ask it."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "molecule" / "litellm"
RECORD = BUILD / "record.json"
INVENTORY = ROOT / "molecule" / "litellm" / "inventory"
UNIT = "homelab-llm-litellm.service"
USER = "homelab-litellm"
DIRECTORY = "/opt/homelab-llm/litellm"
CURRENT, STATE = f"{DIRECTORY}/current", f"{DIRECTORY}/run/state.json"
PORT = 18400
# As the inventory gives it; the other client's is made on the host.
GIVEN_KEY = "sk-given.to-the_notebook"
CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
# Between two requests of one of the load's clients.
PAUSE_S = 0.4
# Of the reload and of the canary, on a busy machine.
DEPLOY_S = 600
# A request that waits for a generation to start; on a busy machine that takes more than a minute.
ANSWER_S = 240


def address() -> str:
    return str(json.loads((BUILD / "addresses.json").read_text(encoding="utf-8"))["maple"])


def url() -> str:
    return f"http://{address()}:{PORT}"


def master_key(host: Any) -> str:
    return str(host.file(f"{CURRENT}/router.env").content_string.split("LITELLM_MASTER_KEY=", 1)[1].split()[0])


def made_key(host: Any) -> str:
    """The key that was made for the client which was given none."""
    return str(host.file(f"{DIRECTORY}/clients/assistant.key").content_string.strip())


def ask(path: str, key: str | None, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
    """Status and body; an HTTP error is an answer too."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = urllib.request.Request(url() + path, None if body is None else json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def chat(alias: str, key: str | None) -> tuple[int, Any]:
    return ask(CHAT, key, {"model": alias, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8})


def request_body(number: int) -> dict[str, Any]:
    """A request of the load: every third one streams, every eleventh one is slow."""
    tokens = 120 if number % 11 == 0 else 4
    messages = [{"role": "user", "content": f"Count up from {number}."}]
    streams = {"stream": True} if number % 3 == 0 else {}
    return {"model": "tools_fast", "messages": messages, "max_tokens": tokens, **streams}


def show(host: Any, name: str) -> str:
    """One property of the unit as systemd says it."""
    return str(host.check_output("systemctl show --property %s --value %s", name, UNIT)).strip()


def state(host: Any) -> dict[str, Any]:
    """The router's own word on who serves."""
    return json.loads(host.file(STATE).content_string)


def serving(host: Any) -> dict[str, Any]:
    """The generation that serves."""
    (found,) = [one for one in state(host)["generations"] if one["stage"] == "serving"]
    return found


def identity(host: Any) -> dict[str, Any]:
    """Main process and generation; every part is another one after a restart."""
    one = serving(host)
    main = f"{show(host, 'MainPID')} {show(host, 'ExecMainStartTimestampMonotonic')}"
    return {"main": main, "generation": one["pid"], "revision": one["revision"]}


def config(host: Any) -> dict[str, Any]:
    """The configuration that serves."""
    return yaml.safe_load(host.file(f"{CURRENT}/config.yaml").content_string)


def files(host: Any) -> list[str]:
    """All that the role has put on the host, packages apart, with times."""
    shown = "find %s -path %s -prune -o -path %s -prune -o -printf '%%p %%m %%u %%T@ %%l\n'"
    found = host.check_output(shown, DIRECTORY, f"{DIRECTORY}/environments", f"{DIRECTORY}/run")
    # A generation that is tried and removed leaves its mark on the folder's time alone.
    return sorted(line for line in found.splitlines() if not line.startswith(f"{DIRECTORY}/generations 7"))


def record(**facts: Any) -> None:
    """Note something for a later step."""
    RECORD.write_text(json.dumps(facts), encoding="utf-8")


def recorded() -> dict[str, Any]:
    return json.loads(RECORD.read_text(encoding="utf-8"))


def deploy(**variables: Any) -> tuple[int, str]:
    """Run deploy.yml with these variables, as a user would; its exit code and what it said."""
    extra = json.dumps({"llm_build_directory": str(BUILD / "other"), **variables})
    command = ["ansible-playbook", f"--inventory={INVENTORY}", f"--extra-vars={extra}", "playbooks/deploy.yml"]
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=DEPLOY_S, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def wait(condition: Callable[[], bool], limit_s: float = 240.0) -> bool:
    ends = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.5)
    return True
