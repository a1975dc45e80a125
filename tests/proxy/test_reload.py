"""The router's main process with the real LiteLLM: bounded load over reloads, crashes and an end, and no request is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engines.servers import environment, free_port
from tests.proxy.load import Load
from tests.rules.environments import PINNED, Unavailable, python_of

FILES = Path(__file__).resolve().parents[2] / "roles" / "litellm" / "files"
KEY = "sk-of-the-test-0123456789"
# The router ends by itself, whatever the test does.
LIFE_S = 300
DRAIN_S = 60
PATIENCE_S = 120.0
WORDS = 6


class Backend(BaseHTTPRequestHandler):
    """An engine that answers after the seconds that it is asked for: the time of a model without its work."""

    protocol_version = "HTTP/1.1"
    asked = threading.Event()

    def log_message(self, *_arguments: Any) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Backend.asked.set()
        wait_s, streams = float(asked["messages"][-1]["content"]), bool(asked.get("stream"))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if streams else "application/json")
        self.send_header("connection", "close")
        self.end_headers()
        for word in range(WORDS if streams else 1):
            time.sleep(wait_s / (WORDS if streams else 1))
            self.wfile.write(chunk(word) if streams else json.dumps(answer()).encode())
            self.wfile.flush()
        if streams:
            self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True


def answer() -> dict[str, Any]:
    message = {"role": "assistant", "content": "hello"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}


def chunk(word: int) -> bytes:
    choices = [{"index": 0, "delta": {"content": f"{word} "}, "finish_reason": "stop" if word == WORDS - 1 else None}]
    said = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return f"data: {json.dumps(said)}\n\n".encode()


def request_body(number: int) -> dict[str, Any]:
    """Every eleventh takes two seconds, every third streams."""
    messages = [{"role": "user", "content": "2.0" if number % 11 == 0 else "0.05"}]
    return {"model": "fast", "messages": messages, **({"stream": True} if number % 3 == 0 else {})}


class Lab:
    """A router's folder with generations in it, and its process."""

    def __init__(self, folder: Path, python: str, backend: str) -> None:
        self.folder, self.python, self.backend = folder, python, backend
        self.url = f"http://127.0.0.1:{free_port()}"
        self.state_file = folder / "state.json"
        (folder / "router.env").write_text(f"LITELLM_MASTER_KEY={KEY}\n")
        self.write("one")
        self.turn("one")
        self.process: Any = None

    def write(self, revision: str, **general: Any) -> None:
        """A generation; its deployment's id is its name."""
        parameters = {"model": "openai/m", "api_base": self.backend, "api_key": "none", "order": 1, "timeout": 30}
        config = {
            "model_list": [{"model_name": "fast", "litellm_params": parameters, "model_info": {"id": revision, "mode": "chat"}}],
            "router_settings": {"num_retries": 0, "timeout": 30},
            "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY", "disable_model_info_refresh": True, **general},
        }
        place = self.folder / revision
        place.mkdir()
        (place / "config.yaml").write_text(yaml.safe_dump(config))
        command = [self.python, str(FILES / "serve_generation.py"), str(place / "config.yaml")]
        variables = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "NO_PROXY": "*"}
        said = {"revision": revision, "command": command, "environment": variables, "secrets": str(self.folder / "router.env")}
        (place / "generation.json").write_text(json.dumps({**said, "drain_s": DRAIN_S, "start_limit_s": PATIENCE_S}))

    def turn(self, revision: str) -> None:
        (self.folder / "new").symlink_to(revision)
        (self.folder / "new").replace(self.folder / "current")

    def reload(self, revision: str) -> None:
        self.turn(revision)
        os.kill(self.process.pid, signal.SIGHUP)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        host, port = self.url.rpartition("/")[2].split(":")
        command = [sys.executable, str(FILES / "serve_router.py"), "--current", str(self.folder / "current")]
        place = ["--state", str(self.state_file), "--host", host, "--port", port]
        with (self.folder / "router.log").open("wb") as log:
            self.process = subprocess.Popen([*command, *place], stdout=log, stderr=log, env=environment({}))
        alarm = threading.Timer(LIFE_S, self.process.kill)
        alarm.start()
        try:
            yield
        finally:
            alarm.cancel()
            self.process.terminate()
            try:
                self.process.wait(DRAIN_S + 20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def generations(self, stage: str) -> list[dict[str, Any]]:
        try:
            return [one for one in self.state()["generations"] if one["stage"] == stage]
        except OSError:
            return []

    def state(self) -> dict[str, Any]:
        return json.loads(self.state_file.read_text())

    def serves(self, revision: str) -> bool:
        return [one["revision"] for one in self.generations("serving")] == [revision]


def wait(condition: Callable[[], bool]) -> bool:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    try:
        python = str(python_of(PINNED))
    except Unavailable as reason:
        pytest.skip(str(reason))
    backend = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    lab = Lab(tmp_path_factory.mktemp("router"), python, f"http://127.0.0.1:{backend.server_port}/v1")
    with lab.running():
        assert wait(lambda: lab.serves("one")), (lab.folder / "router.log").read_text()[-3000:]
        yield lab
    backend.shutdown()


def test_reloads_under_load_lose_nothing(lab: Lab) -> None:
    with Load(lab.url, KEY, request_body) as load:
        load.wait_for(60)
        for revision in ("two", "three"):
            lab.write(revision)
            lab.reload(revision)
            assert wait(lambda wanted=revision: lab.serves(wanted))
            load.wait_for(60)
    assert load.failures == []
    assert set(load.by_deployment) == {"one", "two", "three"}
    assert wait(lambda: not lab.generations("draining"))


def test_a_generation_that_does_not_come_up_changes_nothing(lab: Lab) -> None:
    before = lab.generations("serving")
    lab.write("broken", custom_auth="nobody_has_this.function")
    with Load(lab.url, KEY, request_body) as load:
        lab.reload("broken")
        assert wait(lambda: lab.state()["refused"] is not None)
        load.wait_for(30)
    assert load.failures == []
    assert lab.state()["refused"]["revision"] == "broken"
    assert lab.generations("serving") == before


def test_one_that_dies_is_started_again_and_requests_wait(lab: Lab) -> None:
    (before,) = lab.generations("serving")
    os.kill(before["pid"], signal.SIGKILL)
    # What it had is lost with it; whoever connects from now on only waits.
    assert wait(lambda: not lab.serves("three") or lab.generations("serving") != [before])
    with Load(lab.url, KEY, request_body) as load:
        load.wait_for(16)
    assert load.failures == []
    assert lab.serves("three")


def test_the_end_waits_for_what_is_under_way(lab: Lab) -> None:
    found: list[str] = []
    load = Load(lab.url, KEY, request_body)
    connection = load.connect()
    # Number 11 takes two seconds.
    slow = threading.Thread(target=lambda: (load.ask(connection, 11), found.extend(load.failures)))
    Backend.asked.clear()
    slow.start()
    assert Backend.asked.wait(PATIENCE_S)
    lab.process.terminate()
    slow.join(PATIENCE_S)
    assert (found, load.answered) == ([], 1)
    assert lab.process.wait(DRAIN_S) == 0
