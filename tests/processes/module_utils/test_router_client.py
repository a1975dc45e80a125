"""Asking the router: good answers, bad answers, and a key that stays in its file."""

from __future__ import annotations

import http.server
import json
import threading
import time

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
            if status is None:
                time.sleep(content)
                return
            self.send_response(status)
            self.send_header("x-litellm-model-id", "mini--small--coding")
            for name, value in server.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

        def log_message(self, *_arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.reply, server.headers = [], (200, CHAT), {}
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def asked(server, mode="chat", timeout_s=5, **how):
    return ask(f"http://127.0.0.1:{server.server_address[1]}", "sk-secret", "coding", mode, timeout_s, **how)


def test_a_chat_answer(router):
    answer = asked(router)
    assert (answer["answered_by"], answer["excerpt"], answer["error"]) == ("mini--small--coding", "ready", None)
    path, body, authorization = router.asked[0]
    assert (path, body["model"], authorization) == ("/v1/chat/completions", "coding", "Bearer sk-secret")


def test_an_embedding_answer(router):
    router.reply = (200, {"data": [{"embedding": [0.0] * 7}]})
    assert asked(router, "embedding")["dimension"] == 7
    assert router.asked[0][0] == "/v1/embeddings"


def test_a_completion(router):
    router.reply = (200, {"choices": [{"text": "ready"}]})
    assert asked(router, "completion")["excerpt"] == "ready"
    path, body, _authorization = router.asked[0]
    assert (path, "prompt" in body) == ("/v1/completions", True)


@pytest.mark.parametrize("mode", ["chat", "completion", "embedding"])
@pytest.mark.parametrize("exact", [False, True])
def test_nobody_else_is_asked_where_one_is_meant(router, mode, exact):
    asked(router, mode, exact=exact)
    body = router.asked[0][1]
    assert (body.get("disable_fallbacks", False), body.get("num_retries")) == (exact, 0 if exact else None)


# What every model understands; some refuse a temperature that is not their own.
FIELDS = {"chat": {"messages", "max_tokens"}, "completion": {"prompt", "max_tokens"}, "embedding": {"input"}}


@pytest.mark.parametrize(("mode", "fields"), FIELDS.items(), ids=FIELDS)
def test_a_question_has_nothing_that_a_model_may_refuse(router, mode, fields):
    asked(router, mode)
    assert set(router.asked[0][1]) == {"model", *fields}


def test_the_key_goes_through_no_proxy_and_the_netrc_does_not_replace_it(router, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert asked(router)["error"] is None
    assert router.asked[0][2] == "Bearer sk-secret"


def test_reasoning_counts_as_an_answer(router):
    router.reply = (200, {"choices": [{"message": {"content": "", "reasoning_content": "hmm"}}]})
    assert asked(router)["excerpt"] == "hmm"


def test_reasoning_that_is_not_shown_takes_all_words(router):
    router.reply = (200, {"choices": [{"message": {"content": ""}, "finish_reason": "length"}]})
    answer = asked(router)
    assert (answer["error"], answer["excerpt"]) == (None, "(nothing within 16 tokens)")


# (reply, seconds to wait for it, status, whether it is late)
LATENESS = {
    "an answer": ((200, CHAT), 5, 200, False),
    "an engine that takes too long": ((408, {}), 5, 408, True),
    "somebody between who does not wait": ((504, {}), 5, 504, True),
    "an error": ((500, {}), 5, 500, False),
    "no answer": ((None, 0.5), 0.1, None, True),
    "a connection that is closed": ((None, 0), 5, None, False),
}


@pytest.mark.parametrize(("reply", "timeout_s", "status", "late"), LATENESS.values(), ids=LATENESS)
def test_what_is_late(router, reply, timeout_s, status, late):
    router.reply = reply
    answer = asked(router, timeout_s=timeout_s)
    assert (answer["status"], answer["late"]) == (status, late)


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_is_cut_is_an_error_not_an_exception(router, status):
    router.reply, router.headers = (status, b"half"), {"Content-Length": "99"}
    assert "IncompleteRead" in asked(router)["error"]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((500, {"error": {"message": "no deployments"}}), "HTTP 500: no deployments"),
        ((502, b"<html>"), "HTTP 502: <html>"),
        ((200, b"not json"), "no usable answer"),
        ((200, {"choices": []}), "no answer in it"),
        ((200, {"choices": [{"message": {"content": ""}}]}), "empty"),
        ((200, {"choices": [{"message": None}]}), "no answer in it"),
        ((200, {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}), "empty"),
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
