"""The real LiteLLM proxy on loopback, with the configuration that production gets: intent, plan, `litellm_config`."""

from __future__ import annotations

import http.client
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from plugins.plugin_utils.intent import Intent, parse_fleet
from plugins.plugin_utils.plan import make_plan
from plugins.plugin_utils.routing import litellm_config
from tests.engines.servers import free_port, running
from tests.rules.environments import PINNED, python_of

ROLE = Path(__file__).resolve().parents[2] / "roles" / "litellm"
# What the role gives the service, beside the key.
FIXED = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))["litellm_fixed_environment"]
# A LiteLLM that nobody has told about hosts without power.
BARE = {name: value for name, value in FIXED.items() if not name.startswith(("AIOHTTP_", "ROUTER_"))}
# What the role's main process does for a generation of the proxy, for one alone: a socket, a pipe, and the same program.
SERVE = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
heard, ready = os.pipe()
for number in (listener.fileno(), heard, ready):
    os.set_inheritable(number, True)
os.environ.update(ROUTER_LISTEN_FD=str(listener.fileno()), ROUTER_READY_FD=str(ready), ROUTER_DRAIN_S="1")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
INVENTORY = "two-hosts"
# How an Ollama is started of which all models stay: the plan refuses others.
OLLAMA_SERVER = {"max_loaded_models": 8, "keep_alive": "-1"}


@dataclass(frozen=True)
class Backend:
    """An engine that is there already, as a host of the plan: what it serves, under which name.

    A llama.cpp host has one model here, at its base port.
    """

    host: str
    url: str
    engine_model: str
    engine: str = "llama_cpp"
    mode: str = "chat"

    @property
    def model(self) -> str:
        return f"{self.host}-{self.engine_model}"

    @property
    def as_host(self) -> dict[str, Any]:
        place = urlsplit(self.url)
        own: dict[str, Any] = {"url": self.url}
        if self.engine == "llama_cpp":
            own = {"address": place.hostname, "base_port": place.port}
        elif self.engine == "ollama":
            own["server"] = OLLAMA_SERVER
        return {"engine": self.engine, "managed": False, "accelerators": [{"name": "ram", "kind": "cpu", "memory_gib": 8}], **own}

    @property
    def as_model(self) -> dict[str, Any]:
        kinds = {"llama_cpp": {"kind": "file", "path": "/somewhere/model.gguf"}}
        source = kinds.get(self.engine) or {"kind": self.engine, "name": self.engine_model}
        declared = {"memory_gib": 0.3, "source": "seen"}
        return {"source": source, "mode": self.mode, "context_tokens": 2048, "declared": declared}


def plan_of(aliases: Mapping[str, Sequence[Backend]], **router: Any) -> dict[str, Any]:
    """The plan that an inventory with these hosts gives; `router` is `llm_router`."""
    backends = [item for items in aliases.values() for item in items]
    workloads = {
        alias: {"description": "a test", "mode": items[0].mode, "prompts": [{"id": "one", "text": "one"}]}
        for alias, items in aliases.items()
    }
    variables = {
        "llm_models": {item.model: item.as_model for item in backends},
        "llm_workloads": workloads,
        "llm_assignments": {
            alias: [{"model": item.model, "host": item.host} for item in items] for alias, items in aliases.items()
        },
        "llm_router": dict(router),
    }
    hosts = {item.host: item.as_host for item in backends}
    return make_plan(parse_fleet(Intent(variables, hosts, addresses={}, router_hosts=(backends[0].host,))), INVENTORY)


def config_of(aliases: Mapping[str, Sequence[Backend]], **router: Any) -> dict[str, Any]:
    """What LiteLLM is given for them."""
    return litellm_config(plan_of(aliases, **router))


@dataclass(frozen=True)
class Reply:
    """What came back: a body that is JSON is read."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class Proxy:
    """A running proxy."""

    url: str
    key: str
    log: Path

    def connect(self, timeout_s: float) -> http.client.HTTPConnection:
        """A connection to it; the standard library's client, which adds the least of its own time."""
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=timeout_s)

    def post(self, path: str, body: Mapping[str, Any], timeout_s: float = 120.0) -> Reply:
        connection = self.connect(timeout_s)
        try:
            return self.post_over(connection, path, body)
        finally:
            connection.close()

    def post_over(self, connection: http.client.HTTPConnection, path: str, body: Mapping[str, Any]) -> Reply:
        """One request over a connection that stays open."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        connection.request("POST", path, json.dumps(body).encode(), headers)
        answer = connection.getresponse()
        content = answer.read()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)


@contextmanager
def litellm_proxy(config: Mapping[str, Any], folder: Path, fixed: Mapping[str, str] = FIXED) -> Iterator[Proxy]:
    """Start the pinned proxy in `folder` as the role does, wait until it serves, and end it. `fixed`: its environment.

    Raises Unavailable where there is no such LiteLLM here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, key, port = folder / "config.yaml", f"sk-{secrets.token_hex(16)}", free_port()
    file.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
    command = [str(python_of(PINNED)), "-c", SERVE, str(port), str(ROLE / "files" / "serve_generation.py"), str(file)]
    # Nothing of the caller's proxies lies between the router and an engine on this machine.
    own = {"LITELLM_MASTER_KEY": key, "LITELLM_LOG": "ERROR", "NO_PROXY": "*", "no_proxy": "*", "HOME": str(folder)}
    url = f"http://127.0.0.1:{port}"
    with running(command, url, "/health/liveliness", folder / "proxy.log", {**fixed, **own}) as server:
        yield Proxy(url, key, server.log)
