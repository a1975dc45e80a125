"""A model as it is wanted: which version, from where, what is said when it cannot be had, and what is left alone."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import urllib.error
from types import SimpleNamespace

import pytest

from plugins.module_utils.gguf_bytes import GgufError
from plugins.module_utils.http_client import Client
from plugins.module_utils.installed_model import Engine
from plugins.module_utils.model_work import Wanted, work
from plugins.module_utils.ollama_names import parse_model_name
from plugins.module_utils.store_check import check_directory
from plugins.module_utils.transfer_progress import Limits, ModelProblem
from tests.fake_ollama import FakeOllama, install, pulled
from tests.scripted_engine import nobody
from tests.web_server import Asked, Reply, WebServer, registry

WEIGHTS, NEWER = b"old weights", b"newer weights"


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "models"
    path.mkdir()
    return path


@pytest.fixture
def engine(store):
    with FakeOllama(store) as running:
        yield running


@pytest.fixture
def server():
    with WebServer() as running:
        yield running


def have(server, weights, repository="team/m", host=""):
    """Let a server have a model; returns the digest of its manifest."""
    routes = registry(f"{host}{repository}", "7b", {"model": [weights], "params": [b'{"num_ctx": 4096}']})
    server.routes.update(routes)
    return hashlib.sha256(routes[f"/v2/{host}{repository}/manifests/7b"].body).hexdigest()


def name_at(server):
    return f"{server.host}/team/m:7b"


def install_like(server, engine, weights):
    """Put into the store what a pull of the model at the server would."""
    routes = registry("team/m", "7b", {"model": [weights], "params": [b'{"num_ctx": 4096}']})
    name = name_at(server)
    install(engine.store, name, weights, params=b'{"num_ctx": 4096}')
    host, _slash, rest = name.partition("/")
    path = engine.store / "manifests" / host / rest.replace(":", "/")
    path.write_bytes(routes["/v2/team/m/manifests/7b"].body)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def do(engine, name, check_mode=False, **options):
    wanted = {"url": engine.url, "name": name, "insecure": True, **options}
    return work(Wanted(**wanted), check_mode, Limits(20.0, 5.0, 2, 0.0))


def refused(engine, name, **options):
    with pytest.raises(ModelProblem) as caught:
        do(engine, name, **options)
    return str(caught.value)


class Pulling(FakeOllama):
    """An engine whose pull puts a model into its store."""

    def __init__(self, store, server, weights):
        super().__init__(store)
        self.server, self.weights = server, weights

    def answer(self, asked):
        if asked.path == "/api/pull":
            install_like(self.server, self, self.weights)
            return pulled({"status": "pulling manifest"})
        return super().answer(asked)


@pytest.mark.parametrize("cut", [True, False], ids=["cut short", "missing"])
@pytest.mark.parametrize("options", [{}, {"update": False}, {"pinned": True}], ids=["newest", "as it is", "pinned"])
def test_an_installed_model_that_lacks_a_file_is_mended(store, server, cut, options):
    """An Ollama shows it among its models, and takes each file that is there for whole."""
    digest = have(server, WEIGHTS)
    with Pulling(store, server, WEIGHTS) as engine:
        install_like(server, engine, WEIGHTS)
        wanted = {"digest": digest} if options.get("pinned") else options
        path = store / "blobs" / f"sha256-{hashlib.sha256(WEIGHTS).hexdigest()}"
        path.write_bytes(WEIGHTS[:4]) if cut else path.unlink()
        asked = do(engine, name_at(server), True, models_directory=str(store), **wanted)
        assert (asked["changed"], engine.asked("/api/pull"), path.exists()) == (True, [], cut)
        found = do(engine, name_at(server), models_directory=str(store), **wanted)
        assert (found["changed"], found["digest"], path.read_bytes()) == (True, digest, WEIGHTS)
        assert "1 file of the installed one was missing or cut short" in found["msg"]
        assert do(engine, name_at(server), models_directory=str(store), **wanted)["changed"] is False


def test_a_lacking_model_whose_registry_is_away_is_no_success(store, engine, server):
    install_like(server, engine, WEIGHTS)
    (store / "blobs" / f"sha256-{hashlib.sha256(WEIGHTS).hexdigest()}").unlink()
    said = refused(engine, name_at(server), models_directory=str(store))
    assert "is installed, but 1 file is missing or cut short, and its files cannot be had" in said


def test_a_missing_model_is_pulled_and_then_left_alone(store, server):
    digest = have(server, WEIGHTS)
    with Pulling(store, server, WEIGHTS) as engine:
        found = do(engine, name_at(server), models_directory=str(store))
        size = len(WEIGHTS) + len(b'{"num_ctx": 4096}')
        assert {key: found[key] for key in ("changed", "digest", "size_bytes", "via", "downloaded_bytes", "copied_bytes")} == {
            "changed": True, "digest": digest, "size_bytes": size, "via": "registry", "downloaded_bytes": size, "copied_bytes": 0,
        }  # fmt: skip
        assert (found["diff"]["before"], found["diff"]["after"]) == ("", f"digest: {digest}\n")
        again = do(engine, name_at(server))
        assert (again["changed"], again["via"], again["digest"]) == (False, "none", digest)
        assert (again["diff"]["before"], again["diff"]["after"]) == ("", "")
        assert len(engine.asked("/api/pull")) == 1


def test_the_registry_is_asked_as_an_engine_of_that_version(store, server):
    have(server, WEIGHTS)
    with FakeOllama(store, "0.24.0") as engine:
        do(engine, name_at(server), check_mode=True)
    assert {asked.headers["user-agent"].split(" ")[0] for asked in server.asked} == {"ollama/0.24.0"}


def test_an_engine_that_is_too_old(engine, server):
    server.routes["/v2/team/m/manifests/7b"] = Reply(412, b"requires a newer version")
    said = refused(engine, name_at(server))
    assert "answered 412" in said
    assert f"raise the version, or take another model (engine 0.33.0 at {engine.url})" in said


def test_a_newer_version_is_fetched_and_the_old_layers_go(store, server):
    old = install_like(server, SimpleNamespace(store=store), WEIGHTS)
    new = have(server, NEWER)
    with Pulling(store, server, NEWER) as engine:
        planned = do(engine, name_at(server), check_mode=True, models_directory=str(store))
        assert (planned["changed"], planned["digest"], engine.asked("/api/pull")) == (True, new, [])
        found = do(engine, name_at(server), models_directory=str(store))
        assert (found["changed"], found["digest"]) == (True, new)
        assert found["diff"]["before"] == f"digest: {old}\n"
    contents = {path.read_bytes() for path in (store / "blobs").iterdir()}
    assert contents == {NEWER, b'{"num_ctx": 4096}'}


@pytest.mark.parametrize("options", [{"update": False}, {"digest": "installed"}], ids=["no update", "pinned"])
def test_the_registry_is_not_asked_where_what_is_there_is_enough(engine, server, options):
    digest = install_like(server, engine, WEIGHTS)
    have(server, NEWER)
    options = {key: "sha256:" + digest.upper() if value == "installed" else value for key, value in options.items()}
    assert do(engine, name_at(server), **options)["changed"] is False
    assert server.asked == []


def test_a_registry_with_another_digest_than_the_pinned_is_refused(engine, server):
    have(server, NEWER)
    said = refused(engine, name_at(server), digest="0" * 64)
    assert "expected 000000000000…: nothing was fetched" in said
    assert engine.asked("/api/pull") == []


def test_without_the_registry_an_installed_model_stays(engine):
    with nobody() as url:
        host = url.removeprefix("http://")
        install(engine.store, f"{host}/team/m:7b", WEIGHTS)
        found = do(engine, f"{host}/team/m:7b")
        assert found["changed"] is False
        assert "stays as it is, because its newest version cannot be known: " in found["msg"]
        said = refused(engine, f"{host}/team/other")
        assert "is not installed, and its files cannot be had: " in said
        assert "check that the server runs" in said
        assert "not the pinned 000000000000…" in refused(engine, f"{host}/team/m:7b", digest="0" * 64)


def test_a_full_disk_is_refused_before_anything_is_fetched(engine, server, monkeypatch):
    have(server, WEIGHTS)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=10))
    for check_mode in (True, False):
        with pytest.raises(ModelProblem, match=r"got 0 MiB free at .*nothing was fetched"):
            do(engine, name_at(server), check_mode=check_mode, models_directory=str(engine.store))
    assert engine.asked("/api/pull") == []


def test_a_pull_that_brings_something_else_is_an_error(store, server):
    have(server, NEWER)
    with Pulling(store, server, WEIGHTS) as engine:
        assert "after the transfer the engine at" in refused(engine, name_at(server))


def test_a_mirror_has_it_under_its_plain_name(engine, server):
    digest = have(server, WEIGHTS, "library/gemma4")
    found = do(engine, "gemma4:7b", mirror=server.host, models_directory=str(engine.store))
    assert (found["changed"], found["via"], found["digest"]) == (True, "mirror", digest)
    assert (engine.store / "manifests/registry.ollama.ai/library/gemma4/7b").exists()
    assert do(engine, "gemma4:7b", mirror=f"http://{server.host}/", models_directory=str(engine.store))["changed"] is False
    assert engine.asked("/api/pull") == []


def share(server, weights, name):
    host, _slash, rest = name.partition("/")
    return have(server, weights, rest.rpartition(":")[0], f"{host}/")


def copying(server, token="secret"):
    return {"copy_from": {"url": server.url, "token": token}}


def test_a_share_is_used_first(engine, server):
    with WebServer() as other:
        digest = have(server, WEIGHTS)
        assert share(other, WEIGHTS, name_at(server)) == digest
        found = do(engine, name_at(server), models_directory=str(engine.store), **copying(other))
        assert (found["via"], found["digest"], found["downloaded_bytes"]) == ("copy", digest, 0)
        assert found["copied_bytes"] == len(WEIGHTS) + len(b'{"num_ctx": 4096}')
        assert server.paths() == ["/v2/team/m/manifests/7b"]
        assert {asked.headers.get("authorization") for asked in other.asked} == {"Bearer secret"}


def test_a_share_is_asked_directly(engine, server, monkeypatch):
    """A proxy would see the token."""
    with WebServer() as other, nobody() as proxy:
        share(other, WEIGHTS, name_at(server))
        have(server, WEIGHTS)
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", server.host)
        assert do(engine, name_at(server), models_directory=str(engine.store), **copying(other))["via"] == "copy"


SHARES = {
    "another version": (lambda other, name: share(other, NEWER, name), "the share at .* has another version"),
    "nothing": (lambda _other, _name: None, "the share was of no use .*answered 404"),
    "a wrong token": (lambda other, _name: other.routes.update({"/": Reply(401)}), "the share was of no use"),
}


@pytest.mark.parametrize("case", SHARES)
def test_a_share_that_has_it_not_is_told_of(store, server, case):
    prepare, words = SHARES[case]
    have(server, WEIGHTS)
    with WebServer() as other, Pulling(store, server, WEIGHTS) as engine:
        prepare(other, name_at(server))
        found = do(engine, name_at(server), models_directory=str(store), **copying(other))
    assert found["via"] == "registry"
    assert re.search(words, found["msg"])


def test_a_share_that_fails_half_way_is_replaced_by_the_registry(store, server):
    have(server, WEIGHTS)
    with WebServer() as other, Pulling(store, server, WEIGHTS) as engine:
        share(other, WEIGHTS, name_at(server))
        path = next(path for path in other.routes if path.endswith(hashlib.sha256(WEIGHTS).hexdigest()))
        other.routes[path] = Reply(200, WEIGHTS[::-1])
        found = do(engine, name_at(server), models_directory=str(store), **copying(other))
    assert (found["via"], found["changed"]) == ("registry", True)
    assert "the share failed (" in found["msg"]
    assert found["copied_bytes"] > 0
    assert not list(store.glob("blobs/*partial*"))


def test_without_the_registry_a_share_is_enough(engine):
    with WebServer() as other, nobody() as url:
        name = f"{url.removeprefix('http://')}/team/m:7b"
        digest = share(other, WEIGHTS, name)
        found = do(engine, name, models_directory=str(engine.store), **copying(other))
        assert (found["via"], found["digest"]) == ("copy", digest)
        assert "its registry was not reached" in found["msg"]


def test_a_share_with_the_pinned_version_is_used_although_the_registry_has_another(engine, server):
    have(server, NEWER)
    with WebServer() as other:
        digest = share(other, WEIGHTS, name_at(server))
        found = do(engine, name_at(server), digest=digest, models_directory=str(engine.store), **copying(other))
        assert (found["via"], found["digest"]) == ("copy", digest)


def test_what_a_share_without_address_means(engine, server):
    have(server, WEIGHTS)
    assert do(engine, name_at(server), check_mode=True, copy_from={"url": None, "token": None})["via"] == "registry"


def test_what_is_thrown_away_is_not_called_kept(engine, server):
    have(server, WEIGHTS)
    path = next(path for path in server.routes if path.endswith(hashlib.sha256(WEIGHTS).hexdigest()))
    options = {"mirror": server.host, "models_directory": str(engine.store)}
    server.routes[path] = Reply(200, WEIGHTS[::-1])
    said = refused(engine, "team/m:7b", **options)
    assert said.endswith("push the model there again")
    server.routes[path] = Reply(503)
    assert refused(engine, "team/m:7b", **options).endswith("what was fetched is kept, run again to go on")


@pytest.mark.parametrize("via", ["registry", "mirror", "copy", "check", "derived"])
@pytest.mark.parametrize("elsewhere", ["empty", "another", "a file"])
def test_a_directory_of_another_engine_is_refused(engine, server, tmp_path, via, elsewhere):
    have(server, WEIGHTS)
    install(engine.store, "Hf.co/Some/Model:Q4_K_M", b"x")
    directory = tmp_path / "elsewhere"
    if elsewhere == "another":
        install(directory, "hf.co/some/model:q4_k_m", b"y")
    if elsewhere == "a file":
        directory.write_text("")
    options = {"models_directory": str(directory)}
    if via == "mirror":
        options["mirror"] = server.host
    if via == "copy":
        share(server, WEIGHTS, name_at(server))
        options.update(copying(server))
    if via == "derived":
        options.update(state="derived", from_model="hf.co/some/model:q4_k_m", parameters={"num_ctx": 512})
        engine.shown["Hf.co/Some/Model:Q4_K_M"] = engine.shown["hf.co/some/model:q4_k_m"] = {}
    said = refused(engine, name_at(server), check_mode=via == "check", **options)
    got = "digest [0-9a-f]{12}…" if elsewhere == "another" else "no manifest"
    assert re.search(rf"models_directory {directory}, which has {got} for Hf.co/Some/Model:Q4_K_M, .*OLLAMA_MODELS", said)
    assert (engine.asked("/api/pull"), engine.created) == ([], [])
    assert not [path for path in server.paths() if "/blobs/" in path]


UNTOLD = {
    "without a model": [],
    "only odd answers": [
        None,
        7,
        {"name": 7},
        {"name": "a/b/c/d", "digest": "0"},
        {"name": "m:local", "digest": "0"},
        {"name": "m"},
    ],
    "not a list": "none",
}


@pytest.mark.parametrize("case", UNTOLD)
def test_a_directory_that_cannot_be_told_passes(engine, tmp_path, monkeypatch, case):
    place = Engine(engine.url, parse_model_name("m"), str(tmp_path / "elsewhere"))
    monkeypatch.setattr(place.api, "get", lambda _path: {"models": UNTOLD[case]})
    check_directory(place)


def test_a_directory_that_may_not_be_read_passes(engine, monkeypatch):
    install(engine.store, "m", b"x")

    def forbidden(*_arguments):
        raise PermissionError

    monkeypatch.setattr("builtins.open", forbidden)
    check_directory(Engine(engine.url, parse_model_name("n"), str(engine.store)))


def test_the_engines_own_directory_in_another_spelling_passes(engine, tmp_path):
    """A model that the engine calls by other letters than its files have, below a link."""
    install(engine.store, "Hf.co/Some/Model:Q4_K_M", b"x")
    (tmp_path / "link").symlink_to(engine.store)
    place = Engine(engine.url, parse_model_name("n"), str(tmp_path / "link"))
    (found,) = place.api.get("/api/tags")["models"]
    place.api.get = lambda _path: {"models": [{**found, "name": found["name"].lower()}]}
    check_directory(place)


ODD = {
    "cloud": ({"name": "gpt-oss:120b-cloud"}, "runs in Ollama's cloud"),
    "name": ({"name": "a/b/c/d"}, "is no name of a model"),
    "digest": ({"name": "m", "digest": "12"}, "expected the sha256 of a manifest"),
    "mirror": ({"name": "m", "mirror": "x"}, "got mirror without models_directory"),
    "share": ({"name": "m", "copy_from": {"url": "http://x", "token": "t"}}, "got copy_from without models_directory"),
    "token": ({"name": "m", "copy_from": {"url": "http://x"}, "models_directory": "/x"}, "without a token"),
    "limit": ({"name": "m", "timeout_s": 0}, "expected seconds above 0"),
    "address": ({"name": "m", "mirror": "ftp://x", "models_directory": "/x"}, "expected http"),
    "owner": ({"name": "m", "models_directory": "/x", "models_owner": "no-such-user"}, "expected a user"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_options_are_refused(engine, case):
    options, words = ODD[case]
    assert words in refused(engine, **options)
    assert engine.asked("/api/pull") == []


def test_a_model_without_weights_is_refused(engine, server):
    server.routes.update(registry("team/m", "7b", {"template": [b"x"]}))
    assert "got a model without weights (layers: template)" in refused(engine, name_at(server))


def test_an_engine_that_is_not_there(server):
    with nobody() as url:
        said = refused(SimpleNamespace(url=url), name_at(server))
    assert f"the engine at {url}: no connection" in said
    assert "check that it runs and can be reached" in said


def test_absent(engine):
    digest = install(engine.store, "team/m:7b", WEIGHTS)
    planned = do(engine, "team/m:7b", check_mode=True, state="absent")
    assert (planned["changed"], planned["diff"]["before"], engine.deleted) == (True, f"digest: {digest}\n", [])
    assert do(engine, "team/m:7b", state="absent")["changed"] is True
    assert do(engine, "team/m:7b", state="absent")["changed"] is False


def test_a_token_is_in_no_message(engine, server):
    with nobody() as url:
        have(server, WEIGHTS)
        copy = {"copy_from": {"url": url, "token": "very-secret"}, "models_directory": str(engine.store)}
        found = do(engine, name_at(server), check_mode=True, **copy)
    assert "very-secret" not in json.dumps(found)


def test_the_progress_file_is_gone_at_the_end(engine, tmp_path):
    path = tmp_path / "progress"
    install(engine.store, "m", WEIGHTS)
    do(engine, "m", update=False, progress_file=str(path))
    path.write_text("{}")
    refused(engine, "a/b/c/d", progress_file=str(path))
    assert not path.exists()


def test_a_client_can_leave_proxies_aside(monkeypatch):
    with WebServer({"/x": Reply(200, b"direct")}) as server, nobody() as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        client = Client(5.0, use_proxies=False)
        assert client.read_all(client.get(f"{server.url}/x", {}), 100) == b"direct"
        assert server.asked == [Asked("/x", server.asked[0].headers)]


@pytest.mark.parametrize(
    ("error", "limit"), [(urllib.error.URLError(TimeoutError()), "10 s"), (TimeoutError(), "30 s")], ids=["connecting", "waiting"]
)
def test_a_timeout_names_the_limit_that_it_hit(error, limit):
    client = Client(120.0, use_proxies=False)
    client.clock.start(30.0)

    def opened(*_arguments, **_options):
        raise error

    client._opener = SimpleNamespace(open=opened)
    with pytest.raises(GgufError, match=f"limit {limit}"):
        client.get("http://host/", {})
