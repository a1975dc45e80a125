"""Hosts on loopback that answer as Ollama does, with its own and with OpenAI's paths, and keep what they were asked."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VECTOR = [0.25, -0.5, 0.125]


@dataclass(frozen=True)
class Is:
    """What a host does: it answers with this status after this long, or nobody listens there."""

    status: int = 200
    after_s: float = 0.0
    refused: bool = False


UP, BROKEN, GONE = Is(), Is(status=500), Is(refused=True)


@dataclass
class Host:
    """A host: its address without a path, and every request for an answer, as (path, body)."""

    name: str
    address: str = ""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def chat(host: str, body: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": host}
    return {
        "id": "1", "object": "chat.completion", "created": 1, "model": body.get("model", ""),
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }  # fmt: skip


def text(host: str, body: dict[str, Any]) -> dict[str, Any]:
    choices = [{"index": 0, "text": host, "finish_reason": "stop"}]
    return {**chat(host, body), "object": "text_completion", "choices": choices}


def response(host: str, body: dict[str, Any]) -> dict[str, Any]:
    content = [{"type": "output_text", "text": host, "annotations": []}]
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": body.get("model", ""),
        "output": [{"type": "message", "id": "1", "role": "assistant", "status": "completed", "content": content}],
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "temperature": 1.0, "top_p": 1.0,
        "usage": {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4},
    }  # fmt: skip


def embeddings(host: str, body: dict[str, Any]) -> dict[str, Any]:
    data = [{"object": "embedding", "index": 0, "embedding": VECTOR}]
    return {"object": "list", "model": body.get("model", ""), "data": data, "usage": {"prompt_tokens": 3, "total_tokens": 3}}


def native(key: str) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    def answer(host: str, body: dict[str, Any]) -> dict[str, Any]:
        value = {"response": host, "message": {"role": "assistant", "content": host}, "embeddings": [VECTOR]}[key]
        about = {"model": body.get("model", ""), "created_at": "2026-01-01T00:00:00Z", "done": True, "done_reason": "stop"}
        return {**about, key: value, "prompt_eval_count": 3, "eval_count": 1, "total_duration": 1, "eval_duration": 1}

    return answer


# What takes a model to answer; nothing else counts as asked.
ANSWERS: dict[str, Callable[[str, dict[str, Any]], dict[str, Any]]] = {
    "/v1/chat/completions": chat,
    "/v1/completions": text,
    "/v1/responses": response,
    "/v1/embeddings": embeddings,
    "/api/chat": native("message"),
    "/api/generate": native("response"),
    "/api/embed": native("embeddings"),
}
# Looked up on the side by some releases: /api/show for what a model can do.
SHOWN = {"template": "{{ .Prompt }} {{ .Tools }}", "model_info": {}, "capabilities": ["completion", "tools"]}
ASIDE = {"/v1/models": {"object": "list", "data": []}, "/api/tags": {"models": []}, "/api/version": {"version": "0.24.0"}}


def handler_of(host: Host, does: Is) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: what was asked is kept."""

        def reply(self, status: int, value: Mapping[str, Any]) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            # Whoever asked may have stopped waiting.
            with suppress(ConnectionError):
                self.wfile.write(content)

        def do_GET(self) -> None:
            self.reply(200 if self.path in ASIDE else 404, ASIDE.get(self.path, {"error": "not found"}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            if self.path == "/api/show":
                return self.reply(200, SHOWN)
            host.asked.append((self.path, body))
            if self.path not in ANSWERS:
                return self.reply(404, {"error": "not found"})
            time.sleep(does.after_s)
            if does.status != 200:
                return self.reply(does.status, {"error": {"message": f"{host.name} is broken", "type": "server_error"}})
            return self.reply(200, ANSWERS[self.path](host.name, body))

    return Handler


@contextmanager
def one_host(name: str, does: Is) -> Iterator[Host]:
    host = Host(name)
    if does.refused:
        # A port that is bound and not listened on refuses, and nobody else can get it.
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            host.address = f"http://127.0.0.1:{holder.getsockname()[1]}"
            yield host
        return
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(host, does))
    server.daemon_threads = True
    host.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def hosts(does: Mapping[str, Is]) -> Iterator[dict[str, Host]]:
    """Hosts by name, up while the block runs."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(one_host(name, what)) for name, what in does.items()}
