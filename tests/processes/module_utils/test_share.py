"""A share gives some models to one address that knows the token, reads nothing else, and ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import stat
import threading
import time
from pathlib import Path

import pytest

from plugins.module_utils import share_process
from plugins.module_utils.ollama_names import parse_model_name
from plugins.module_utils.process_identity import find, listening_ports
from plugins.module_utils.share_process import ShareProblem, started, stopped
from plugins.module_utils.share_server import ShareServer, shared_models
from tests.fake_ollama import install

WEIGHTS = bytes(range(256)) * 40
BASE = "/v2/registry.ollama.ai/library/m"
ALLOWED = {"Authorization": "Bearer secret"}


@pytest.fixture
def store(tmp_path):
    install(tmp_path / "models", "m", WEIGHTS)
    install(tmp_path / "models", "hidden", b"other weights")
    return tmp_path / "models"


@contextlib.contextmanager
def serving(store, allowed="127.0.0.1", idle_s=30.0, limit_s=30.0):
    server = ShareServer(("127.0.0.1", 0), allowed, "secret", shared_models(str(store), [parse_model_name("m")]), idle_s, limit_s)
    # It looks that often whether it is over.
    server.timeout = 0.02
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server, thread
    finally:
        server.end()
        thread.join(10)


def ask(server, path, headers=None, method="GET"):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        connection.request(method, path, headers=ALLOWED if headers is None else headers)
        reply = connection.getresponse()
        return reply.status, reply.read(), {name.lower(): value for name, value in reply.getheaders()}


def weights_path(store):
    data = json.loads((store / "manifests/registry.ollama.ai/library/m/latest").read_bytes())
    return f"{BASE}/blobs/{data['layers'][0]['digest']}"


def test_it_answers_as_a_registry(store):
    manifest = (store / "manifests/registry.ollama.ai/library/m/latest").read_bytes()
    with serving(store) as (server, _thread):
        status, body, headers = ask(server, f"{BASE}/manifests/latest")
        assert (status, body) == (200, manifest)
        assert ask(server, f"{BASE}/manifests/{headers['docker-content-digest']}")[1] == manifest
        assert ask(server, weights_path(store))[:2] == (200, WEIGHTS)
        status, body, headers = ask(server, weights_path(store), method="HEAD")
        assert (status, body, headers["content-length"]) == (200, b"", str(len(WEIGHTS)))


SIZE = len(WEIGHTS)
RANGES = {
    "bytes=0-9": (206, WEIGHTS[:10], f"bytes 0-9/{SIZE}"),
    "bytes=100-": (206, WEIGHTS[100:], f"bytes 100-{SIZE - 1}/{SIZE}"),
    f"bytes=5-{SIZE * 2}": (206, WEIGHTS[5:], f"bytes 5-{SIZE - 1}/{SIZE}"),
    f"bytes={SIZE}-": (416, b"", f"bytes */{SIZE}"),
    "bytes=9-5": (416, b"", f"bytes */{SIZE}"),
    "bytes=-5": (416, b"", f"bytes */{SIZE}"),
    "rows=1-2": (416, b"", f"bytes */{SIZE}"),
    "bytes=0-1,3-4": (416, b"", f"bytes */{SIZE}"),
}


@pytest.mark.parametrize("asked", RANGES)
def test_ranges(store, asked):
    with serving(store) as (server, _thread):
        status, body, headers = ask(server, weights_path(store), {**ALLOWED, "Range": asked})
        assert (status, body, headers["content-range"]) == RANGES[asked]


WRONG = [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}, {"Authorization": "Bearer "}, {"X": "Bearer secret"}]


@pytest.mark.parametrize("headers", WRONG, ids=str)
def test_without_the_token_there_is_nothing(store, headers):
    with serving(store) as (server, _thread):
        for path in (f"{BASE}/manifests/latest", weights_path(store), "/"):
            status, body, _headers = ask(server, path, headers)
            assert (status, json.loads(body)) == (401, {"errors": [{"code": "UNAUTHORIZED"}]})


HIDDEN = [
    "/", "/v2/", "/v2/_catalog", f"{BASE}/tags/list", f"{BASE}/manifests/other", f"{BASE}/manifests/../manifests/latest",
    "/v2/registry.ollama.ai/library/hidden/manifests/latest", f"{BASE}/blobs/sha256:{'0' * 64}",
    f"{BASE}/blobs/../../../../../../../../etc/passwd", f"{BASE}/blobs/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/\x00x",
    f"{BASE}/manifests/latest?x=1",
]  # fmt: skip


@pytest.mark.parametrize("path", HIDDEN, ids=range(len(HIDDEN)))
def test_nothing_else_is_there(store, path):
    with contextlib.ExitStack() as stack:
        server, _thread = stack.enter_context(serving(store))
        raw = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 10))
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n\r\n".encode())
        status = int(raw.recv(100).split(b" ")[1])
        assert status in (400, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_it_only_reads(store, method):
    with serving(store) as (server, _thread):
        assert ask(server, f"{BASE}/manifests/latest", method=method)[0] == 501


def test_another_address_gets_no_answer(store):
    with serving(store, allowed="192.0.2.1") as (server, _thread), pytest.raises((http.client.RemoteDisconnected, OSError)):
        ask(server, f"{BASE}/manifests/latest")


def test_a_link_in_the_store_is_not_followed(store, tmp_path):
    path = store / "blobs" / weights_path(store).rpartition("/")[2].replace(":", "-")
    (tmp_path / "outside").write_bytes(WEIGHTS)
    path.unlink()
    path.symlink_to(tmp_path / "outside")
    with serving(store) as (server, _thread):
        assert ask(server, weights_path(store))[0] == 404


@pytest.mark.parametrize("limits", [{"idle_s": 0.2}, {"limit_s": 0.2}], ids=str)
def test_it_ends_by_itself(store, limits):
    with serving(store, **limits) as (server, thread):
        thread.join(10)
        assert not thread.is_alive()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", server.port), 1)


def options(store, tmp_path, **changes):
    given = {"models": ["m", "missing"], "models_directory": str(store), "address": "127.0.0.1", "port": 0}
    given |= {"allowed_address": "127.0.0.1", "idle_s": 30, "limit_s": 60, "directory": str(tmp_path / "shares")}
    return {**given, **changes}


@pytest.fixture
def share(store, tmp_path):
    found = started(options(store, tmp_path), False)
    yield found
    stopped(str(tmp_path / "shares"), None, False)


def remembered(tmp_path):
    return [json.loads(path.read_text()) for path in (tmp_path / "shares").iterdir()]


def test_a_share_is_a_process_of_its_own(share, store, tmp_path):
    assert (share["changed"], share["models"]) == (True, ["registry.ollama.ai/library/m:latest"])
    (entry,) = remembered(tmp_path)
    assert entry["url"] == share["url"]
    port = int(share["url"].rpartition(":")[2])
    assert listening_ports([entry["pid"]]) == {entry["pid"]: [port]}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", weights_path(store), headers={"Authorization": f"Bearer {share['token']}"})
        assert connection.getresponse().read() == WEIGHTS
    process = Path(f"/proc/{entry['pid']}")
    assert os.getsid(entry["pid"]) != os.getsid(0)
    assert {os.readlink(process / "fd" / number) for number in ("0", "1", "2")} == {"/dev/null"}


def test_the_token_is_nowhere_to_be_read(share, tmp_path):
    (entry,) = remembered(tmp_path)
    token = share["token"].encode()
    process = Path(f"/proc/{entry['pid']}")
    assert token not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    assert all(token not in path.read_bytes() for path in (tmp_path / "shares").iterdir())
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "shares").iterdir()}
    assert (modes, stat.S_IMODE((tmp_path / "shares").stat().st_mode)) == ({0o600}, 0o700)
    assert len(token) >= 40


def test_stopped(store, tmp_path):
    first, second = started(options(store, tmp_path), False), started(options(store, tmp_path), False)
    assert first["token"] != second["token"]
    pids = {entry["url"]: entry["pid"] for entry in remembered(tmp_path)}
    directory = str(tmp_path / "shares")
    assert stopped(directory, first["url"], True)["changed"] is True
    assert find(pids[first["url"]]) is not None
    assert stopped(directory, first["url"], False)["changed"] is True
    assert (find(pids[first["url"]]), find(pids[second["url"]]) is None) == (None, False)
    assert stopped(directory, first["url"], False)["changed"] is False
    assert stopped(directory, None, False)["changed"] is True
    assert (find(pids[second["url"]]), remembered(tmp_path)) == (None, [])


def test_a_process_that_only_has_the_same_number_is_left_alone(tmp_path):
    directory = tmp_path / "shares"
    directory.mkdir(mode=0o700)
    (directory / "1.json").write_text(json.dumps({"url": "http://x", "pid": os.getpid(), "identity": "another"}))
    assert stopped(str(directory), None, False)["changed"] is False
    assert remembered(tmp_path) == []


def test_a_share_that_ended_by_itself_is_forgotten(store, tmp_path):
    started(options(store, tmp_path, idle_s=1), False)
    ends = time.monotonic() + 15
    while remembered(tmp_path) and time.monotonic() < ends:
        time.sleep(0.1)
    assert remembered(tmp_path) == []


@pytest.mark.parametrize("check_mode", [True, False])
def test_none_of_the_models_is_there(store, tmp_path, check_mode):
    found = started(options(store, tmp_path, models=["missing"]), check_mode)
    assert (found["changed"], found["url"], found["token"], found["models"]) == (False, None, None, [])


def test_check_mode_starts_nothing(store, tmp_path):
    found = started(options(store, tmp_path), True)
    assert (found["changed"], found["url"], found["models"]) == (True, None, ["registry.ollama.ai/library/m:latest"])
    assert not (tmp_path / "shares").exists()


ODD = [
    ({"address": "0.0.0.0"}, "which is every address"),
    ({"allowed_address": "::"}, "which is every address"),
    ({"address": "localhost"}, "expected one IPv4 or IPv6 address"),
    ({"address": "192.0.2.77"}, "cannot listen on 192.0.2.77"),
    ({"idle_s": 0}, "got idle_s 0"),
    ({"models": ["a/b/c/d"]}, "is no name of a model"),
]


@pytest.mark.parametrize(("changes", "message"), ODD, ids=[message for _changes, message in ODD])
def test_odd_wishes_are_refused(store, tmp_path, changes, message):
    with pytest.raises(ShareProblem, match=message):
        started(options(store, tmp_path, **changes), False)


def test_a_directory_that_others_may_read_is_refused(store, tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(ShareProblem, match="for nobody else"):
        started(options(store, tmp_path, directory=str(tmp_path / "open")), False)


def test_a_share_that_cannot_be_remembered_is_no_share(store, tmp_path, monkeypatch):
    def full(_file, _url):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(share_process, "_remember", full)
    with pytest.raises(ShareProblem, match="ended at once: No space left on device"):
        started(options(store, tmp_path), False)
