"""Blobs straight into a store: resumed, tried again, verified; whatever a server answers, nothing wrong gets a name."""

from __future__ import annotations

import hashlib
import io
import threading

import pytest

from plugins.module_utils.blob_download import fetch_blob, fetch_model
from plugins.module_utils.gguf_bytes import GgufError
from plugins.module_utils.http_client import Answer, Client
from plugins.module_utils.ollama_manifest import Layer, parse_manifest
from plugins.module_utils.ollama_names import parse_model_name
from plugins.module_utils.registry_source import mirror_of, share_of
from plugins.module_utils.store_write import PARTIAL, Store
from plugins.module_utils.transfer_progress import Limits, ModelProblem, Progress
from tests.web_server import Asked, Reply, WebServer, manifest, ranged, redirect, registry
from tests.web_server import layer as described

DATA = bytes(range(256)) * 1000
LAYER = Layer("model", "sha256:" + hashlib.sha256(DATA).hexdigest(), len(DATA))
NAME = parse_model_name("team/model:7b")
PATH = f"/v2/team/model/blobs/{LAYER.digest}"


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "models"))


def limits(**changes):
    return Limits(**{"total_s": 20.0, "stall_s": 5.0, "attempts": 3, "pause_s": 0.0, **changes})


def source(server):
    return mirror_of(NAME, server.host, True, "0.33.0")


def fetch(server, store, **changes):
    told = []
    received = fetch_blob(source(server), LAYER, store, limits(**changes), told.append)
    return received, told


def unfinished(store):
    return f"{store.directory}/blobs/{LAYER.digest.replace(':', '-')}{PARTIAL}"


def begun(store, data):
    with store.partial(LAYER) as partial:
        partial.append(data)


def content(store):
    with open(f"{store.directory}/blobs/{LAYER.digest.replace(':', '-')}", "rb") as stream:
        return stream.read()


def test_a_blob_is_fetched_once(store):
    with WebServer({PATH: ranged(DATA)}) as server:
        received, told = fetch(server, store)
        assert (received, told[-1], content(store) == DATA) == (len(DATA), len(DATA), True)
        assert fetch(server, store) == (0, [])
        assert server.paths() == [PATH]
        assert server.asked[0].headers["user-agent"].startswith("ollama/0.33.0 (")


def test_an_interrupted_download_goes_on(store):
    begun(store, DATA[:100_000])
    with WebServer({PATH: ranged(DATA)}) as server:
        assert fetch(server, store)[0] == len(DATA) - 100_000
        assert server.asked[0].headers["range"] == "bytes=100000-"
    assert content(store) == DATA


def test_a_connection_that_breaks_is_begun_again_where_it_ended(store):
    whole = ranged(DATA)

    def cut(asked: Asked) -> Reply:
        full = whole(asked)
        return Reply(full.status, full.body, full.headers, cut_bytes=70_000)

    with WebServer({PATH: cut}) as server:
        assert fetch(server, store)[0] == len(DATA)
        assert [asked.first_byte for asked in server.asked] == [0, 70_000, 140_000, 210_000]


def test_without_a_new_byte_it_is_given_up_after_some_attempts(store):
    with WebServer({PATH: Reply(503, b"later")}) as server:
        with pytest.raises(GgufError, match="answered 503"):
            fetch(server, store)
        assert len(server.asked) == 3


class Capped:
    """A source, without a network, whose server answers at most 200 bytes."""

    name, place = NAME, "capped"

    def __init__(self):
        self.client = Client(5.0, use_proxies=False)
        self.asked = 0

    def blob(self, _digest, headers, _limit_s):
        self.asked += 1
        first = int(headers["Range"].removeprefix("bytes=").removesuffix("-"))
        body = DATA[first : first + 200]
        told = {"content-range": f"bytes {first}-{first + len(body) - 1}/{len(DATA)}", "content-length": str(len(body))}
        return Answer("http://capped/", 206, told, io.BytesIO(body))


def test_small_ranges_are_no_failures(store):
    """A server may answer less than it is asked for, as often as it likes, and nobody waits in between."""
    capped = Capped()
    assert fetch_blob(capped, LAYER, store, limits(pause_s=60.0), lambda _size: None) == len(DATA)
    assert capped.asked == len(DATA) / 200


def cut_short(asked: Asked) -> Reply:
    return Reply(200, DATA, cut_bytes=70_000)


def empty_range(asked: Asked) -> Reply:
    return Reply(206, b"", said(asked.first_byte, asked.first_byte - 1, len(DATA)))


@pytest.mark.parametrize(
    ("route", "words", "asked"),
    [(cut_short, "broke off after 70000 bytes", 3), (empty_range, "got 3 answers in a row without a new byte", 3)],
    ids=["all again and again", "an empty range"],
)
def test_answers_without_progress_are_counted_and_waited_for(store, monkeypatch, route, words, asked):
    begun(store, DATA[:1000])
    waited = []
    monkeypatch.setattr(Limits, "pause", lambda _limits, failures: waited.append(failures))
    with WebServer({PATH: route}) as server:
        with pytest.raises(GgufError, match=words):
            fetch(server, store)
        assert (len(server.asked), waited) == (asked, [1, 2])


def test_a_stalled_server_is_given_up(store):
    slow = Reply(206, DATA, {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}, pause_s=30)
    with WebServer({PATH: slow}) as server, pytest.raises(GgufError, match=r"no answer in time \(limit 0\.1 s"):
        fetch(server, store, stall_s=0.1, attempts=2)


def test_a_server_without_ranges_sends_all_again(store):
    begun(store, DATA[:100])
    with WebServer({PATH: Reply(200, DATA)}) as server:
        assert fetch(server, store)[0] == len(DATA)
    assert content(store) == DATA


def test_a_redirect_is_followed_without_the_token(store):
    with WebServer({"/signed": ranged(DATA)}) as storage, WebServer({PATH: redirect("placeholder")}) as server:
        server.routes["/v2/registry.ollama.ai/team/model/blobs/" + LAYER.digest] = redirect(f"{storage.url}/signed")
        fetch_blob(share_of(NAME, server.url, "secret"), LAYER, store, limits(), lambda _size: None)
        assert server.asked[0].headers["authorization"] == "Bearer secret"
        assert "authorization" not in storage.asked[0].headers
    assert content(store) == DATA


def test_a_partial_that_is_wrong_is_fetched_anew_once(store):
    begun(store, b"rubbish" * 10)
    with WebServer({PATH: ranged(DATA)}) as server:
        assert fetch(server, store)[0] == 2 * len(DATA) - 70
    assert content(store) == DATA


def test_a_partial_that_is_too_long_is_fetched_anew(store):
    begun(store, DATA + b"more")
    with WebServer({PATH: ranged(DATA)}) as server:
        assert fetch(server, store)[0] == len(DATA)


def said(first, last, total):
    return {"Content-Range": f"bytes {first}-{last}/{total}"}


SIZE = len(DATA)
HOSTILE = {
    "other content": (ranged(DATA[::-1]), "its content has sha256"),
    "another total": (Reply(206, DATA, said(0, SIZE - 1, SIZE + 1)), "got Content-Range"),
    "another place": (Reply(206, DATA, said(1, SIZE, SIZE)), "to a request from byte 0"),
    "no range said": (Reply(206, DATA), "got Content-Range ''"),
    "shorter file": (Reply(200, DATA[:-1]), f"it has {SIZE - 1} bytes"),
    "longer file": (Reply(200, DATA + b"x"), f"it has {SIZE + 1} bytes"),
    "longer than it says": (Reply(200, DATA + b"x", length=False), "it sent more bytes"),
    "gone": (Reply(404, b"no"), "answered 404"),
    "forbidden": (Reply(403, b"no"), "answered 403"),
    "empty": (Reply(416), "answered 416"),
    "to a file": (redirect("file:///etc/passwd"), "expected http"),
    "in a circle": (redirect(PATH), "redirects"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_answers_leave_nothing_behind(store, case):
    route, message = HOSTILE[case]
    with WebServer({PATH: route}) as server, pytest.raises(GgufError, match=message):
        fetch(server, store)
    assert not store.has(LAYER)
    assert store.own_bytes(LAYER) in (0, SIZE - 1)


def test_two_runs_do_not_fetch_the_same(store):
    with WebServer({PATH: ranged(DATA)}) as server:
        lock = store.partial(LAYER)
        with lock:
            waiting = threading.Thread(target=fetch, args=(server, store), kwargs={"pause_s": 0.01})
            waiting.start()
            lock.append(DATA)
            store.keep(LAYER, lock)
        waiting.join(10)
        assert (waiting.is_alive(), server.asked) == (False, [])
    assert content(store) == DATA


def test_who_waits_too_long_says_so(store):
    with WebServer() as server, store.partial(LAYER), pytest.raises(ModelProblem, match=r"was not done within 0\.1 s"):
        fetch(server, store, total_s=0.1, pause_s=0.02)


def test_the_manifest_comes_last(store, tmp_path):
    routes = registry("team/model", "7b", {"model": [DATA], "params": [b"{}"]}, b"config")
    data = routes["/v2/team/model/manifests/7b"].body
    broken = dict(routes)
    broken[f"/v2/team/model/blobs/sha256:{hashlib.sha256(b'config').hexdigest()}"] = Reply(404)
    path = tmp_path / "models/manifests/registry.ollama.ai/team/model/7b"
    found = parse_manifest(data, "m")
    with WebServer(broken) as server:
        with pytest.raises(GgufError, match="answered 404"):
            fetch_model(source(server), found, data, store, limits(), Progress(None))
        assert store.has(LAYER)
        assert not path.exists()
        server.routes.update(routes)
        assert fetch_model(source(server), found, data, store, limits(), Progress(None)) == len(b"config")
    assert path.read_bytes() == data


def test_a_manifest_that_is_not_what_the_registry_says(store):
    data = manifest([described("model", DATA)])
    answer = Reply(200, data, {"Docker-Content-Digest": "sha256:" + "0" * 64})
    with (
        WebServer({"/v2/team/model/manifests/7b": answer}) as server,
        pytest.raises(GgufError, match="says 000000000000: ask again"),
    ):
        source(server).manifest(limits())


def test_the_limit_of_all_holds_for_a_manifest_too():
    slow = {"/v2/team/model/manifests/7b": Reply(200, manifest([described("model", DATA)]), pause_s=30)}
    with WebServer(slow) as server, pytest.raises(GgufError, match=r"no answer in time \(limit 0\.\d+ s"):
        source(server).manifest(limits(total_s=0.1))
