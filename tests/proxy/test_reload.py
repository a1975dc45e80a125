"""The router's main process with the real LiteLLM: bounded load over reloads, crashes and an end, and no request is lost."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.proxy.load import Load
from tests.proxy.supervised import DRAIN_S, FILES, KEY, PATIENCE_S, Supervised, wait
from tests.rules.environments import PINNED, Unavailable, python_of

WORDS = 6
VARIABLES = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "NO_PROXY": "*", "ROUTER_CONNECT_S": "2"}


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


class Lab(Supervised):
    """A router with LiteLLM behind it."""

    def __init__(self, folder: Path, python: str, backend: str) -> None:
        super().__init__(folder)
        self.python, self.backend = python, backend
        self.write("one")
        self.turn("one")

    def write(self, revision: str, **general: Any) -> None:
        """A generation; its deployment's id is its name."""
        parameters = {"model": "openai/m", "api_base": self.backend, "api_key": "none", "order": 1, "timeout": 30}
        config = {
            "model_list": [{"model_name": "fast", "litellm_params": parameters, "model_info": {"id": revision, "mode": "chat"}}],
            "router_settings": {"num_retries": 0, "timeout": 30},
            "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY", "disable_model_info_refresh": True, **general},
        }
        path = self.folder / revision / "config.yaml"
        command = [self.python, str(FILES / "serve_generation.py"), str(path)]
        self.describe(revision, command, VARIABLES)
        path.write_text(yaml.safe_dump(config))


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
    assert wait(lambda: not lab.serves(before["revision"]) or lab.generations("serving") != [before])
    with Load(lab.url, KEY, request_body) as load:
        load.wait_for(16)
    assert load.failures == []
    assert lab.serves(before["revision"])


def test_another_program_takes_over_and_nobody_notices(lab: Lab) -> None:
    (before,) = lab.generations("serving")
    slow = Load(lab.url, KEY, lambda _number: {**request_body(3), "messages": [{"role": "user", "content": "20.0"}]})
    stream = threading.Thread(target=lambda: slow.ask(slow.connect(), 0))
    Backend.asked.clear()
    stream.start()
    assert Backend.asked.wait(PATIENCE_S)
    wanted = lab.install("# A later version.\n")
    lab.write("four")
    with Load(lab.url, KEY, request_body) as load:
        load.wait_for(30)
        lab.reload("four")
        assert wait(lambda: lab.state()["router"]["revision"] == wanted)
        assert stream.is_alive()
        assert wait(lambda: lab.serves("four"))
        load.wait_for(60)
        stream.join(PATIENCE_S)
    assert (load.failures, slow.failures, slow.answered) == ([], [], 1)
    assert set(load.by_deployment) == {before["revision"], "four"}
    assert lab.state()["router"]["refused"] is None
    assert lab.state()["pid"] == lab.process.pid
    assert wait(lambda: not lab.generations("draining"))


CALLBACK = """
import json, pathlib
import litellm
from litellm.integrations.custom_logger import CustomLogger

class Mine(CustomLogger):
    async def async_pre_call_deployment_hook(self, kwargs, call_type):
        names = [type(callback).__name__ for callback in litellm.callbacks]
        pathlib.Path(__file__).with_name("callbacks.json").write_text(json.dumps(names))
        return kwargs

mine = Mine()
"""


def test_callbacks_of_the_configuration_do_not_take_the_place_of_ours(lab: Lab) -> None:
    lab.write("callbacks")
    place = lab.folder / "callbacks"
    config = yaml.safe_load((place / "config.yaml").read_text())
    (place / "config.yaml").write_text(yaml.safe_dump({**config, "litellm_settings": {"callbacks": "own.mine"}}))
    (place / "own.py").write_text(CALLBACK)
    lab.reload("callbacks")
    assert wait(lambda: lab.serves("callbacks"))
    load = Load(lab.url, KEY, request_body)
    load.ask(load.connect(), 1)
    assert load.failures == []
    assert {"Mine", "ClientLimit", "ConnectLimit"} <= set(json.loads((place / "callbacks.json").read_text()))


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
