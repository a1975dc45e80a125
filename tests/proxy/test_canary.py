"""The third gate alone, with the real LiteLLM: every deployment by its id, whatever answers in its place."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.module_utils import canary
from plugins.module_utils.canary_questions import ANSWERS, DOUBT, REFUSED, Place
from plugins.plugin_utils.audit.check import check
from plugins.plugin_utils.litellm_canary import canary_work
from tests.litellm_breakages import ENGINE_BREAKAGES, broken, text_of
from tests.proxy.router import FIXED, ROLE, Proxy, litellm_proxy
from tests.rules.environments import PINNED, Unavailable, python_of

# Half of it is for each first answer, on a busy machine; a host that hangs takes that.
TIMEOUT_S = 50.0
NOBODY = "http://127.0.0.1:9/v1"
CHAT = {
    "id": "x", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ready"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip
TEXT = {**CHAT, "object": "text_completion", "choices": [{"index": 0, "text": "ready", "finish_reason": "stop"}]}
VECTOR = {
    "object": "list",
    "model": "m",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
    "usage": CHAT["usage"],
}
HIDDEN = {**CHAT, "choices": [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "length"}]}
# What an engine answers of a path and a model; anything else is a model that is not there.
REPLIES = {
    ("/v1/chat/completions", "m"): CHAT, ("/v1/completions", "m"): TEXT, ("/v1/chat/completions", "hidden"): HIDDEN,
    ("/v1/embeddings", "e"): VECTOR, ("/v1/chat/completions", "loading"): CHAT,
    ("/v1/chat/completions", "gpt-5-mini"): CHAT,
}  # fmt: skip
# So many requests are refused while a model is being loaded: that to a deployment, and that to its name at the same moment.
LOADING_COUNT = 2


@contextlib.contextmanager
def engine() -> Iterator[tuple[str, list[str]]]:
    """Answers of the right shape, and by its model's name everything that an engine can do wrong; keeps whom it was asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            model = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["model"]
            asked.append(model)
            if model == "hangs":
                over.wait(TIMEOUT_S)
                return
            status = 401 if model == "locked" else 503 if model == "loading" and asked.count(model) <= LOADING_COUNT else 404
            reply = REPLIES.get((self.path, model)) if status != 503 else None
            content = json.dumps(reply or {"error": {"message": f"no model {model} for {self.path}"}}).encode()
            self.send_response(200 if reply else status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            pass

    asked: list[str] = []
    over = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def deployment(alias: str, host: str, base: str, model: str = "m", mode: str = "chat", order: int = 1) -> dict[str, Any]:
    return {
        "model_name": alias,
        "litellm_params": {"model": f"openai/{model}", "api_base": base, "api_key": "none", "order": order, "timeout": 30.0},
        "model_info": {"id": f"{host}--{model}--{alias}", "mode": mode, "host": host},
    }


def right(base: str) -> dict[str, Any]:
    """A configuration with all that may answer in somebody's place: a second host, fallbacks of all kinds, clients."""
    return {
        "model_list": [
            deployment("fast", "one", base), deployment("fast", "two", base, order=2), deployment("coding", "one", base),
            deployment("old", "one", base, mode="completion"), deployment("thinking", "one", base, "hidden"),
            deployment("embedding", "one", base, "e", "embedding"), deployment("hosted", "one", base, "gpt-5-mini"),
        ],
        "router_settings": {
            "routing_strategy": "simple-shuffle", "num_retries": 2, "timeout": 30.0, "allowed_fails": 0, "cooldown_time": 30.0,
            "max_fallbacks": 3, "fallbacks": [{"coding": ["fast"]}, {"*": ["fast"]}], "model_group_alias": {"quick": "fast"},
        },
        "litellm_settings": {"DEFAULT_MAX_RETRIES": 0, "enable_post_custom_auth_checks": True, "default_fallbacks": ["fast"]},
        "general_settings": {
            "master_key": "os.environ/LITELLM_MASTER_KEY", "disable_model_info_refresh": True,
            "custom_auth": "homelab_llm_auth.user_api_key_auth", "custom_auth_run_common_checks": True,
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def python() -> str:
    try:
        return str(python_of(PINNED))
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with engine() as (url, _asked):
        yield url


def tried(
    python: str, folder: Path, config: Mapping[str, Any], serving: tuple[Mapping[str, Any], Proxy] | None = None
) -> dict[str, dict[str, Any]]:
    """What the gate does, as the role does it."""
    folder.mkdir(exist_ok=True)
    shutil.copy(ROLE / "files" / "homelab_llm_auth.py", folder)
    (folder / "clients.json").write_text("{}")
    work = canary_work(config, serving[0] if serving else None)
    (folder / "canary.yaml").write_text(yaml.safe_dump(work["config"], sort_keys=False))
    place = Place(serving[1].url, serving[1].key) if serving else None
    command = [python, str(ROLE / "files" / "serve_generation.py"), str(folder / "canary.yaml")]
    own = {"command": command, "folder": str(folder), "environment": FIXED, "secrets": None, "user": ""}
    wanted = canary.Wanted(**own, questions=work["questions"], serving=place, start_timeout_s=120.0, timeout_s=TIMEOUT_S)
    return {one["alias"]: one for one in canary.ask_all(wanted)}


def verdicts(answers: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Of those that do not just answer."""
    return {alias: one["verdict"] for alias, one in answers.items() if one["verdict"] != ANSWERS}


def put(config: dict[str, Any], number: int, **parameters: Any) -> None:
    config["model_list"][number]["litellm_params"].update(parameters)


def test_what_is_wrong_is_named_whatever_answers_in_its_place(python: str, base: str, tmp_path: Path) -> None:
    """Ports before and after another host and before a fallback, a model and a mode that no engine has, and one that hangs."""
    config = right(base)
    put(config, 0, api_base=NOBODY)
    put(config, 2, api_base=NOBODY)
    put(config, 3, model="openai/gone")
    put(config, 5, model="openai/m")
    config["model_list"] += [deployment("fast", "three", base, "hangs", order=3), deployment("fast", "four", NOBODY, order=4)]
    answers = tried(python, tmp_path, config)
    exact = {alias: verdict for alias, verdict in verdicts(answers).items() if "--" in alias}
    assert exact == {
        "one--m--fast": REFUSED, "one--m--coding": REFUSED, "one--m--old": REFUSED, "one--e--embedding": REFUSED,
        "three--hangs--fast": DOUBT, "four--m--fast": REFUSED,
    }, answers  # fmt: skip
    assert f"({NOBODY}: Connection refused)" in answers["one--m--fast"]["reason"]
    assert "no model gone" in answers["one--m--old"]["reason"]
    assert [answers[name]["verdict"] for name in ("fast", "quick", "coding", "thinking")] == [ANSWERS] * 4


@pytest.mark.parametrize("change", ENGINE_BREAKAGES.values(), ids=ENGINE_BREAKAGES)
def test_what_only_an_engine_shows_passes_the_first_gate(base: str, change: Callable[[dict[str, Any]], Any]) -> None:
    config = right(base)
    # One host, and nobody who answers for everybody, as in the scenario: of those the audit has something to say itself.
    del config["model_list"][1]
    for name in ("fallbacks", "model_group_alias"):
        config["router_settings"].pop(name)
    config["litellm_settings"].pop("default_fallbacks")
    found = check(text_of(broken(config, change)).encode(), PINNED, ["LITELLM_MASTER_KEY"])
    assert [one["rule"] for one in found if one["severity"] == "error"] == []


def test_what_was_broken_before_blocks_nobody(python: str, tmp_path: Path) -> None:
    """The proxy that serves has a host that is gone, and an engine that does not know its key, too; what the new configuration
    breaks is refused beside it. A model that is being loaded costs neither its deployment nor its name anything."""
    with engine() as (base, _asked):
        former = right(base)
        former["general_settings"] = {"master_key": "os.environ/LITELLM_MASTER_KEY", "disable_model_info_refresh": True}
        former["litellm_settings"] = {"DEFAULT_MAX_RETRIES": 0}
        former["router_settings"] = {"routing_strategy": "simple-shuffle", "num_retries": 0, "allowed_fails": 0}
        put(former, 0, api_base=NOBODY)
        former["model_list"] += [deployment("secret", "one", base, "locked"), deployment("slow", "one", base, "loading")]
        config = copy.deepcopy(former)
        config["model_list"].append(deployment("new", "one", base))
        put(config, -1, api_base=NOBODY)
        with litellm_proxy(former, tmp_path / "serving") as proxy:
            answers = tried(python, tmp_path, config, (former, proxy))
    assert verdicts(answers) == {
        "one--m--fast": DOUBT, "one--locked--secret": DOUBT, "secret": DOUBT, "one--m--new": REFUSED, "new": DOUBT,
    }, answers  # fmt: skip


def test_an_id_reaches_its_deployment_and_what_is_shared_is_left_alone(python: str, tmp_path: Path) -> None:
    """One request for each question: nobody else is asked, no probe is sent, and nobody connects to Redis."""
    with engine() as (base, asked), socket.create_server(("127.0.0.1", 0)) as redis:
        redis.settimeout(0.1)
        config = right(base)
        place = {"host": "127.0.0.1", "port": redis.getsockname()[1]}
        probes = {"background_health_checks": True, "health_check_interval": 1, "enable_health_check_routing": True}
        config["general_settings"] |= {**probes, "coordination_redis": place, "use_shared_health_check": True}
        config["litellm_settings"] |= {"cache": True, "cache_params": {"type": "redis", **place}, "callbacks": ["prometheus"]}
        config["router_settings"] |= {"redis_host": place["host"], "redis_port": place["port"]}
        answers = tried(python, tmp_path, config)
        assert verdicts(answers) == {}, answers
        exact = {alias: one["answered_by"] for alias, one in answers.items() if "--" in alias}
        assert exact == {alias: alias for alias in exact}
        assert set(answers) - set(exact) == {"fast", "coding", "old", "thinking", "embedding", "hosted", "quick"}
        assert len(asked) == len(answers)
        with pytest.raises(TimeoutError):
            redis.accept()
