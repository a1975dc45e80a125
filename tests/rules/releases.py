"""A release of LiteLLM that answers probes: a file and some requests in, what came of it out."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.rules.environments import ENVIRONMENT, python_of
from tests.rules.hosts import Host, Is, hosts

START_S, END_S = 120.0, 20.0
# The key of the clients' tests; a server without one may refuse to start.
MASTER_KEY = "sk-rules-5f0c9a71b2"


@dataclass
class Seen:
    """What came of a file: why it was refused if it was, how each request ended, what each host was asked."""

    refused: str | None = None
    answers: list[dict[str, Any]] = field(default_factory=list)
    deadlines: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, list[tuple[str, dict[str, Any]]]] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return sum(not answer["ok"] for answer in self.answers)

    @property
    def hosts(self) -> Counter[str]:
        """How often each host was asked."""
        return Counter({name: len(requests) for name, requests in self.asked.items()})

    @property
    def by(self) -> list[str | None]:
        """The host that answered each request; None where none did."""
        return [answer.get("host") for answer in self.answers]

    def bodies(self, host: str) -> list[dict[str, Any]]:
        return [body for path, body in self.asked[host]]


def written(config: str, addresses: Mapping[str, Host]) -> str:
    """A file with the hosts' addresses: @a stands for that of host a."""
    for name in sorted(addresses, key=len, reverse=True):
        config = config.replace(f"@{name}", addresses[name].address)
    return config


class Release:
    """The process that has the release loaded."""

    def __init__(self, version: str, folder: Path) -> None:
        self.version, self.folder, self.count = version, folder, 0
        self.log = (folder / "release.log").open("wb")
        # Nothing of the user's: no keys, no proxies, no settings.
        env = {**ENVIRONMENT, "HOME": str(folder), "PATH": os.environ["PATH"], "LITELLM_MASTER_KEY": MASTER_KEY}
        command = [str(python_of(version)), str(Path(__file__).with_name("serve_probes.py"))]
        self.process = subprocess.Popen(
            command, env=env, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        self.reply()

    def reply(self) -> dict[str, Any]:
        """The next line that is one; LiteLLM prints while it is loaded."""
        stream = self.process.stdout
        for line in stream or ():
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict):
                    return value
        raise RuntimeError(f"LiteLLM {self.version} ended: {(self.folder / 'release.log').read_text(errors='replace')[-2000:]}")

    def ask(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        if self.process.stdin is None:
            raise RuntimeError("no way to ask")
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()
        return self.reply()

    def new_folder(self, files: Mapping[str, str]) -> Path:
        self.count += 1
        folder = self.folder / str(self.count)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_text(content, encoding="utf-8")
        return folder

    def probe(self, config: str, calls: list[dict[str, Any]], does: Mapping[str, Is]) -> Seen:
        """Load a file as the server does and send requests through its router."""
        with hosts(does) as up:
            folder = self.new_folder({"config.yaml": written(config, up)})
            file = folder / "probe.json"
            file.write_text(json.dumps({"config": str(folder / "config.yaml"), "calls": calls}))
            reply = self.ask({"probe": str(file)})
            if not Path(f"{file}.out").is_file():
                log = Path(f"{file}.log").read_text(errors="replace")[-3000:]
                raise RuntimeError(f"LiteLLM {self.version}: the probe ended with {reply}: {log}")
            seen = Seen(**json.loads(Path(f"{file}.out").read_text()))
            seen.asked = {name: host.asked for name, host in up.items()}
            return seen

    @contextlib.contextmanager
    def server(self, config: str, does: Mapping[str, Is], files: Mapping[str, str], key: str | None) -> Iterator[Server]:
        """The real server with a file, as long as the block runs; ``key``: LITELLM_MASTER_KEY."""
        with hosts(does) as up:
            folder = self.new_folder({"config.yaml": written(config, up), **files})
            port = free_port()
            arguments = ["--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
            wanted = {"serve": arguments, "variables": {"LITELLM_MASTER_KEY": key or ""}, "folder": str(folder)}
            process = self.ask({**wanted, "log": str(folder / "server.log")})["process"]
            try:
                server = Server(f"http://127.0.0.1:{port}", folder / "server.log", up)
                server.wait(process)
                yield server
            finally:
                self.ask({"end": process})

    def close(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.log.close()


def free_port() -> int:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])


@dataclass
class Server:
    """A running server; ``up`` is False where it ended instead."""

    url: str
    log: Path
    hosts: dict[str, Host]
    up: bool = False

    def wait(self, process: int) -> None:
        ends = time.monotonic() + START_S
        while time.monotonic() < ends and Path("/proc", str(process), "cmdline").read_bytes():
            if self.get("/health/liveliness", None)[0] == 200:
                self.up = True
                return
            time.sleep(0.1)

    def get(self, path: str, body: dict[str, Any] | None, key: str | None = None) -> tuple[int, str]:
        """The status and the text of an answer; 0: nobody answers. With a body it is posted."""
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode() if body else None, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except OSError:
            return 0, ""

    def chat(self, model: str, key: str | None) -> int:
        body = {"model": model, "messages": [{"role": "user", "content": "Say hello."}]}
        return self.get("/v1/chat/completions", body, key)[0]
