"""Whose fault it is that somebody does not answer: two routers that answer by a table, and hosts that do not."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time

import pytest

from plugins.module_utils.canary_questions import ANSWERS, DOUBT, REFUSED, Asked, Place, ask_all, sentences

CHAT = {"choices": [{"message": {"content": "ready"}}]}
TIMEOUT_S = 2.0
# What a router says of a deployment: statuses, one after the other; 0 is no answer in time.
GOOD, BROKEN, GONE, LATE, SILENT, STRANGER = (200,), (500,), (404,), (408,), (0,), (401,)


@contextlib.contextmanager
def router(says, knows_key=True):
    """A router that answers by `says`: id -> statuses, of which the last one stays. Other names are answered."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model = body["model"]
            with lock:
                asked.append(model)
                found = says.get(model, GOOD)
                status = found[min(asked.count(model), len(found)) - 1]
            if not status:
                time.sleep(TIMEOUT_S)
                return
            self.send_response(status)
            self.send_header("x-litellm-model-id", "somebody" if model == "exchanged" else model)
            self.end_headers()
            self.wfile.write(json.dumps(CHAT if status == 200 else {"error": {"message": "no"}}).encode())

        def do_GET(self):
            self.send_response(200 if knows_key else 401)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    asked, lock = [], threading.Lock()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_arguments: None
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield Place(f"http://127.0.0.1:{server.server_address[1]}", "sk-secret"), asked
    finally:
        server.shutdown()
        server.server_close()


def deployment(model="d", unchanged=False, address=""):
    return {"model": model, "name": "alias", "mode": "chat", "timeout_s": 30.0, "address": address, "exact": True,
            "unchanged": unchanged, "behind": []}  # fmt: skip


def name(*behind):
    return {**deployment("alias"), "exact": False, "behind": list(behind)}


def verdicts(canary, serving, *questions, knows_key=True):
    with router(canary) as (place, _asked), router(serving or {}, knows_key) as (theirs, asked_there):
        found = ask_all(Asked(place, theirs if serving is not None else None, TIMEOUT_S, lambda: False), list(questions))
    return {one["alias"]: (one["verdict"], one["reason"]) for one in found}, asked_there


# Words that the canary and the proxy that serves say, whether the deployment is the same there; verdict and words of the reason.
DEPLOYMENTS = {
    "answers": (GOOD, GOOD, True, ANSWERS, ""),
    "both say no": (BROKEN, BROKEN, True, DOUBT, "it does not answer by the proxy that serves either"),
    "both are late": (LATE, LATE, True, DOUBT, "either"),
    "both hang": (SILENT, SILENT, True, DOUBT, "either"),
    "the new one breaks it": (BROKEN, GOOD, True, REFUSED, "by the proxy that serves it answers"),
    "it loads its model": ((408, 200), GOOD, True, ANSWERS, ""),
    "it says another no": (GONE, BROKEN, True, DOUBT, "either"),
    "an engine that knows no key of theirs": (STRANGER, STRANGER, True, DOUBT, "either"),
    "an engine that forbids it": ((403,), (403,), True, DOUBT, "either"),
    "an engine that knows their key": (STRANGER, GOOD, True, REFUSED, "by the proxy that serves it answers"),
    "nobody serves, late": (LATE, None, True, DOUBT, "HTTP 408"),
    "nobody serves": (GONE, None, True, REFUSED, "HTTP 404"),
    "changed, late": (LATE, GOOD, False, DOUBT, "HTTP 408"),
    "changed, hangs": (SILENT, GOOD, False, DOUBT, "timed out"),
    "changed, no": (BROKEN, BROKEN, False, REFUSED, "HTTP 500"),
    "changed, gone": (GONE, GONE, False, REFUSED, "HTTP 404"),
}


@pytest.mark.parametrize(("canary", "serving", "unchanged", "verdict", "words"), DEPLOYMENTS.values(), ids=DEPLOYMENTS)
def test_whose_fault_it_is(canary, serving, unchanged, verdict, words):
    theirs = None if serving is None else {"d": serving}
    found, asked_there = verdicts({"d": canary}, theirs, deployment(unchanged=unchanged))
    assert found["d"][0] == verdict
    assert words in found["d"][1]
    assert asked_there == (["d"] if unchanged and theirs and canary != GOOD else [])


# What the canary says; verdict and words. The proxy that serves is there and knows another key.
STRANGERS = {
    "late": (LATE, DOUBT, "HTTP 408"),
    "broken": (BROKEN, REFUSED, "HTTP 500"),
    "the engine's key": (STRANGER, REFUSED, "HTTP 401"),
}


@pytest.mark.parametrize(("canary", "verdict", "words"), STRANGERS.values(), ids=STRANGERS)
def test_a_proxy_with_another_key_says_nothing_of_an_engine(canary, verdict, words):
    found, asked_there = verdicts({"d": canary}, {"d": STRANGER}, deployment(unchanged=True), knows_key=False)
    assert (found["d"][0], words in found["d"][1], asked_there) == (verdict, True, [])


def test_a_deployment_that_another_one_answers_for_is_refused():
    found, _asked = verdicts({}, None, deployment("exchanged"))
    assert found["exchanged"] == (REFUSED, "somebody answered in its place")


# Of the deployments behind a name, of the name itself; verdict and words.
NAMES = {
    "all answer": (GOOD, GOOD, ANSWERS, ""),
    "somebody else answers": (LATE, GOOD, ANSWERS, ""),
    "one behind it is late": (LATE, BROKEN, DOUBT, "behind it d does not answer"),
    "it alone does not answer": (GOOD, BROKEN, REFUSED, "HTTP 500"),
    "it alone is late": (GOOD, LATE, DOUBT, "HTTP 408"),
    "it answers when it is asked again": (GOOD, (503, 200), ANSWERS, ""),
    "it is late when it is asked again": (GOOD, (503, 408), DOUBT, "HTTP 408"),
}


@pytest.mark.parametrize(("behind", "own", "verdict", "words"), NAMES.values(), ids=NAMES)
def test_a_name_is_what_is_behind_it(behind, own, verdict, words):
    found, _asked = verdicts({"d": behind, "alias": own}, None, deployment(), deployment("other"), name("d", "other"))
    assert found["alias"][0] == verdict
    assert words in found["alias"][1]


def test_a_model_that_is_being_loaded_costs_its_name_nothing():
    """The engine says no to the deployment and to the name, asked at one moment."""
    loading = (503, 200)
    found, _asked = verdicts({"d": loading, "alias": loading}, {}, deployment(unchanged=True), name("d"))
    assert found == {"d": (ANSWERS, ""), "alias": (ANSWERS, "")}


def test_one_that_hangs_takes_no_time_of_the_others():
    many = [deployment(f"hanging-{number}") for number in range(20)]
    found, _asked = verdicts({one["model"]: SILENT for one in many}, None, *many, deployment())
    assert found.pop("d") == (ANSWERS, "")
    assert {verdict for verdict, _reason in found.values()} == {DOUBT}


@contextlib.contextmanager
def full():
    """An address that takes no connection and refuses none, as a host without power."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _number in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_host_that_is_off_is_no_wrong_address():
    with full() as port:
        found, _asked = verdicts({"d": BROKEN}, None, deployment(address=f"http://127.0.0.1:{port}/v1"))
    assert found["d"][0] == DOUBT
    assert f"127.0.0.1:{port}" in found["d"][1]


WRONG = {
    "nobody listens": ("http://127.0.0.1:9/v1", "Connection refused"),
    "no such name": ("http://nobody.invalid/v1", "http://nobody.invalid/v1"),
    "no port": ("http://127.0.0.1:port/v1", "port"),
    "not said": ("", "HTTP 500"),
}


@pytest.mark.parametrize(("address", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_address_is_refused_with_the_reason(address, words):
    found, _asked = verdicts({"d": BROKEN}, None, deployment(address=address))
    assert found["d"][0] == REFUSED
    assert words in found["d"][1]


def test_a_canary_that_is_gone_is_not_asked_again():
    with router({}) as (theirs, asked_there):
        asked = Asked(Place("http://127.0.0.1:9", "k"), theirs, TIMEOUT_S, lambda: True)
        (found,) = ask_all(asked, [deployment(unchanged=True)])
    assert (found["verdict"], asked_there) == (REFUSED, [])


def test_nothing_to_ask():
    assert verdicts({}, None)[0] == {}


def test_sentences_name_the_deployment_and_its_name():
    found = [
        {"alias": "d", "name": "alias", "verdict": DOUBT, "reason": "off"},
        {"alias": "alias", "name": "alias", "verdict": REFUSED, "reason": "no"},
    ]
    assert (sentences(found, DOUBT), sentences(found, REFUSED)) == (["d of alias: off"], ["alias: no"])
