"""Asking the router: good answers, bad answers, and a key that stays in its file."""

from __future__ import annotations

import http.server
import json
import threading

import pytest

from plugins.module_utils.router_client import ask, read_key

CHAT = {"choices": [{"message": {"content": "ready"}}]}


@pytest.fixture
def router():
    """A server that answers with what the test puts into ``reply`` and keeps what it was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.asked.append((self.path, body, self.headers["Authorization"]))
            status, content = server.reply
            self.send_response(status)
            self.send_header("x-litellm-model-id", "mini--small--coding")
            self.end_headers()
            self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

        def log_message(self, *_arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.reply = [], (200, CHAT)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def asked(server, mode="chat"):
    return ask(f"http://127.0.0.1:{server.server_address[1]}", "sk-secret", "coding", mode, 5)


def test_a_chat_answer(router):
    answer = asked(router)
    assert (answer["answered_by"], answer["excerpt"], answer["error"]) == ("mini--small--coding", "ready", None)
    path, body, authorization = router.asked[0]
    assert (path, body["model"], authorization) == ("/v1/chat/completions", "coding", "Bearer sk-secret")


def test_an_embedding_answer(router):
    router.reply = (200, {"data": [{"embedding": [0.0] * 7}]})
    assert asked(router, "embedding")["dimension"] == 7
    assert router.asked[0][0] == "/v1/embeddings"


def test_reasoning_counts_as_an_answer(router):
    router.reply = (200, {"choices": [{"message": {"content": "", "reasoning_content": "hmm"}}]})
    assert asked(router)["excerpt"] == "hmm"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((500, {"error": {"message": "no deployments"}}), "HTTP 500: no deployments"),
        ((502, b"<html>"), "HTTP 502: <html>"),
        ((200, b"not json"), "no usable answer"),
        ((200, {"choices": []}), "no answer in it"),
        ((200, {"choices": [{"message": {"content": ""}}]}), "empty"),
    ],
)
def test_bad_answers_are_errors_not_exceptions(router, reply, words):
    router.reply = reply
    answer = asked(router)
    assert words in answer["error"]
    assert "sk-secret" not in json.dumps(answer)


def test_a_router_that_is_down():
    assert "no usable answer" in ask("http://127.0.0.1:9", "k", "coding", "chat", 2)["error"]


def test_the_key_is_read_from_the_environment_file(tmp_path):
    path = tmp_path / "router.env"
    path.write_text("OTHER=1\nLITELLM_MASTER_KEY='sk-abc'\n")
    assert read_key(str(path)) == "sk-abc"


@pytest.mark.parametrize("content", ["", "OTHER=sk-abc\n", None])
def test_a_missing_key_is_an_error_without_the_content(tmp_path, content):
    path = tmp_path / "router.env"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"router\.env") as raised:
        read_key(str(path))
    assert "sk-abc" not in str(raised.value)
