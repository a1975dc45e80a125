"""Headers over the network: how much is fetched, what servers may do, what is said when it does not work."""

from __future__ import annotations

import hashlib
import json
import ssl

import pytest

from plugins.module_utils import http_range
from plugins.module_utils.gguf import GgufError, LongArray
from plugins.module_utils.gguf_remote import Remote, read_remote_header
from tests.certificates import make_certificate
from tests.gguf_files import Typed, complete
from tests.scripted_engine import nobody
from tests.web_server import Asked, Reply, WebServer, digest_of, layer, manifest, ranged, redirect, registry

TENSORS = [("token_embd.weight", (64, 1000), "q4_0"), ("output_norm.weight", (64,), "f32")]
METADATA = {"general.architecture": "llama", "llama.block_count": 2, "tokenizer.ggml.tokens": ["token"] * 5000}
HEAD, FILE_BYTES = complete(METADATA, TENSORS)
FILE = HEAD.ljust(FILE_BYTES, b"\0")
# A header of 3 MiB in front of a file of 70 GiB.
LONG_HEAD = complete({**METADATA, "tokenizer.ggml.tokens": ["x" * 24] * 98_304}, [])[0]
LONG_FILE_BYTES = 70 * 2**30


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def remote(tmp_path):
    return Remote(plain_http=True, cache_directory=str(tmp_path / "cache"), time_limit_s=10)


def refused(source, remote, words, kind="model"):
    with pytest.raises(GgufError, match=words) as caught:
        read_remote_header(source, remote, kind)
    return str(caught.value)


def test_a_file_is_read_from_an_address(remote):
    with WebServer({"/a/model.gguf": ranged(FILE)}) as server:
        found = read_remote_header(f"{server.url}/a/model.gguf?download=true", remote)
    assert (found.name, found.file_bytes) == (f"{server.url}/a/model.gguf", FILE_BYTES)
    assert found.metadata["tokenizer.ggml.tokens"] == LongArray(5000, "str")
    assert [tensor.name for tensor in found.tensors] == ["token_embd.weight", "output_norm.weight"]
    assert (found.manifest, found.digests) == (None, ())
    assert len(HEAD) <= found.transferred_bytes <= FILE_BYTES


def test_of_a_large_file_only_the_beginning_is_fetched_in_doubling_ranges(remote):
    with WebServer({"/model.gguf": ranged(LONG_HEAD, total_bytes=LONG_FILE_BYTES)}) as server:
        found = read_remote_header(f"{server.url}/model.gguf", remote)
    assert found.file_bytes == LONG_FILE_BYTES
    assert [(asked.first_byte, asked.last_byte + 1) for asked in server.asked] == [(0, 2**20), (2**20, 2**21), (2**21, 2**22)]
    assert len(LONG_HEAD) <= found.transferred_bytes <= len(LONG_HEAD) + 256 * 2**10


def test_no_range_is_longer_than_the_largest(remote, monkeypatch):
    monkeypatch.setattr(http_range, "LARGEST_RANGE_BYTES", 2**19)
    with WebServer({"/model.gguf": ranged(LONG_HEAD, total_bytes=LONG_FILE_BYTES)}) as server:
        read_remote_header(f"{server.url}/model.gguf", remote)
    assert {asked.last_byte + 1 - asked.first_byte for asked in server.asked} == {2**19}


@pytest.mark.parametrize("length", [True, False], ids=["with length", "without length"])
def test_of_a_server_that_knows_no_ranges_no_more_is_read_than_needed(remote, length):
    reply = Reply(200, LONG_HEAD + bytes(2**24), length=length)
    with WebServer({"/model.gguf": reply}) as server:
        found = read_remote_header(f"{server.url}/model.gguf", remote)
    assert len(server.asked) == 1
    assert found.file_bytes == (len(reply.body) if length else None)
    assert len(LONG_HEAD) <= found.transferred_bytes <= len(LONG_HEAD) + 256 * 2**10


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_lead_to_other_servers_without_the_login(remote, status):
    with WebServer({"/blob": ranged(LONG_HEAD, total_bytes=LONG_FILE_BYTES)}) as other, WebServer() as server:
        server.routes["/model.gguf"] = redirect("/here", status)
        server.routes["/here"] = redirect(f"{other.url}/blob?sig=x y", status)
        found = read_remote_header(f"http://user:pass@{server.host}/model.gguf", remote)
    assert found.file_bytes == LONG_FILE_BYTES
    assert [asked.headers.get("authorization") for asked in server.asked] == ["Basic dXNlcjpwYXNz"] * 2
    assert [(asked.path, asked.headers.get("authorization")) for asked in other.asked] == [("/blob?sig=x%20y", None)] * 3


def challenge(realm):
    return Reply(401, b"{}", {"WWW-Authenticate": f'Bearer realm="{realm}",service="reg",scope="repository:team/model:pull"'})


def guarded(route, realm):
    """A route that wants the token "open"."""
    return lambda asked: route(asked) if asked.headers.get("authorization") == "Bearer open" else challenge(realm)


@pytest.mark.parametrize("key", ["token", "access_token"])
def test_a_token_that_everybody_gets_is_asked_for_and_kept_to_its_server(remote, key):
    with WebServer({"/blob": ranged(FILE)}) as other, WebServer() as server:
        realm = f"{server.url}/token"
        data = manifest([layer("model", FILE)])
        server.routes.update(
            {
                "/token": Reply(200, json.dumps({key: "open"}).encode()),
                "/v2/team/model/manifests/latest": guarded(lambda _asked: Reply(200, data), realm),
                f"/v2/team/model/blobs/{digest_of(FILE)}": guarded(lambda _asked: redirect(f"{other.url}/blob"), realm),
            }
        )
        found = read_remote_header(f"{server.host}/team/model", remote)
    assert found.file_bytes == FILE_BYTES
    assert server.paths()[1] == "/token?service=reg&scope=repository%3Ateam%2Fmodel%3Apull"
    assert len([path for path in server.paths() if path.startswith("/token")]) == 1
    assert "authorization" not in other.asked[0].headers


NO_TOKEN = {
    "login": (Reply(401, b"{}"), "answered 401 to a request for a token without a login"),
    "no json": (Reply(200, b"<html>"), "its token is no JSON object"),
    "empty": (Reply(200, b"{}"), "gave no token"),
    "broken": (Reply(200, b'{"token": "a\\r\\nb"}'), "gave no token"),
    "endless": (Reply(200, b"x" * 70_000), "got more than 65536 bytes"),
}


@pytest.mark.parametrize(("reply", "words"), NO_TOKEN.values(), ids=NO_TOKEN)
def test_a_token_that_is_not_to_be_had_is_said(remote, reply, words):
    with WebServer({"/token": reply}) as server:
        server.routes["/model.gguf"] = challenge(f"{server.url}/token")
        refused(f"{server.url}/model.gguf", remote, words)
        server.routes["/model.gguf"] = challenge("file:///etc/passwd")
        refused(f"{server.url}/model.gguf", remote, "expected an address with TLS")
        server.routes["/model.gguf"] = Reply(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
        refused(f"{server.url}/model.gguf", remote, "answered 401: it wants a login")


def test_a_token_that_is_refused_is_not_asked_for_again(remote):
    with WebServer({"/token": Reply(200, b'{"token": "shut"}')}) as server:
        server.routes["/model.gguf"] = challenge(f"{server.url}/token")
        refused(f"{server.url}/model.gguf", remote, "answered 401")
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "answered 400.*check the address"),
        (403, "does not give this to everybody"),
        (404, "check the name and the tag"),
        (412, "wants a newer Ollama for this model"),
        (416, "empty or shorter"),
        (429, "asked too often; wait"),
        (500, "out of order; wait"),
        (503, "out of order; wait"),
        (302, "answered 302"),
    ],
)
def test_refusals_say_what_to_do(remote, status, words):
    with WebServer({"/v2/library/model/manifests/latest": Reply(status, b'{"errors": "because\x1b"}' + b"x" * 10_000)}) as server:
        said = refused(f"{server.host}/library/model", remote, words)
    assert '{"errors": "because "}' in said
    assert len(said) < 500


@pytest.mark.parametrize("cut_bytes", [0, 1000, 2**20 - 1])
def test_a_connection_that_breaks_is_taken_up_where_it_broke(remote, cut_bytes):
    whole = ranged(LONG_HEAD, total_bytes=LONG_FILE_BYTES)
    cuts = [cut_bytes, cut_bytes]

    def breaking(asked: Asked) -> Reply:
        reply = whole(asked)
        return Reply(206, reply.body, reply.headers, cut_bytes=cuts.pop()) if cuts else reply

    with WebServer({"/model.gguf": breaking}) as server:
        found = read_remote_header(f"{server.url}/model.gguf", remote)
    assert found.metadata["llama.block_count"] == 2
    begins = [asked.first_byte for asked in server.asked]
    assert begins == sorted(begins)
    assert begins[1] == cut_bytes
    assert found.transferred_bytes <= len(LONG_HEAD) + 256 * 2**10


def test_a_connection_that_always_breaks_is_given_up(remote):
    def breaking(asked: Asked) -> Reply:
        reply = ranged(FILE)(asked)
        return Reply(206, reply.body, reply.headers, cut_bytes=5)

    with WebServer({"/ranges": breaking, "/whole": Reply(200, FILE, cut_bytes=100)}) as server:
        refused(f"{server.url}/ranges", remote, "connection was cut after 20 bytes: run again")
        refused(f"{server.url}/whole", remote, "connection was cut after 100 bytes: run again")
    assert server.paths() == ["/ranges"] * 4 + ["/whole"]


@pytest.mark.parametrize(
    "route", [Reply(200, FILE, pause_s=0.05), Reply(206, FILE, {"Content-Range": "bytes 0-99999/100000"}, pause_s=0.05)]
)
def test_a_server_that_drips_is_left_at_the_time_limit(tmp_path, route):
    with WebServer({"/model.gguf": route}) as server:
        refused(
            f"{server.url}/model.gguf",
            Remote(time_limit_s=0.1, cache_directory=""),
            r"no answer in time \(limit 0.1 s, \d+ bytes",
        )


def test_nobody_there_is_said():
    with nobody() as url:
        refused(
            f"{url}/model.gguf",
            Remote(cache_directory=""),
            r"connection failed \(Connection refused\): check that the server runs",
        )


def bad_range(text):
    return lambda _asked: Reply(206, FILE, {"Content-Range": text})


def changing(*headers):
    """A server whose later ranges have other headers."""
    listed = list(headers)

    def route(asked: Asked) -> Reply:
        reply = ranged(LONG_HEAD, total_bytes=LONG_FILE_BYTES)(asked)
        return Reply(reply.status, reply.body, {**reply.headers, **listed.pop(0)})

    return route


BAD_SERVERS = {
    "no range": (bad_range(""), "got '' as Content-Range"),
    "other range": (bad_range("bytes 5-9/10"), "expected one that begins at 0"),
    "backward range": (bad_range("bytes 0--1/10"), "as Content-Range"),
    "endless range": (bad_range("bytes 0-9/" + "9" * 5000), "as Content-Range"),
    "page": (Reply(200, b"<!DOCTYPE html>" + bytes(500)), "this is no GGUF file"),
    "nothing": (Reply(200, b""), "header ends early: got 0 bytes"),
    "loop": (redirect("/model.gguf"), "more than 10 redirects"),
    "to a file": (redirect("file:///etc/passwd"), "expected http"),
    "to nowhere": (redirect("http://["), "expected http"),
    "to ftp": (redirect("ftp://127.0.0.1/x"), "expected http"),
    "other file": (changing({"ETag": '"a"'}, {"ETag": '"b"'}), "the file changed while it was read"),
    "other size": (changing({}, {"Content-Range": f"bytes {2**20}-{2**21 - 1}/{2**22}"}), "the file changed|as Content-Range"),
    "suddenly whole": (
        lambda asked: Reply(200) if asked.first_byte else ranged(LONG_HEAD)(asked),
        "suddenly sent the whole file",
    ),
    "cut off": (ranged(FILE[:-500]), "expected at least .*tensor 'token_embd.weight' ends there|expected at least"),
}


@pytest.mark.parametrize(("route", "words"), BAD_SERVERS.values(), ids=BAD_SERVERS)
def test_what_no_server_should_do_is_refused(remote, route, words):
    with WebServer({"/model.gguf": route}) as server:
        refused(f"{server.url}/model.gguf", remote, words)


@pytest.mark.parametrize(
    "source",
    [
        "ftp://host/model.gguf",
        "http://",
        "https:///x",
        "http://host:99999/x",
        "http://host/a b",
        "http://host/\n",
        "http://[::1/x",
    ],
)
def test_addresses_of_nothing_are_refused(remote, source):
    refused(source, remote, "expected http://… or https://…")


def test_messages_have_no_secrets(remote):
    with nobody() as url, WebServer({"/a": redirect("/b?signature=hidden")}) as server:
        for address in (url, server.url):
            said = refused(address.replace("://", "://user:hidden@") + "/a?signature=hidden", remote, "/(a|b): ")
            assert "hidden" not in said


def test_a_split_model_is_read_from_the_addresses_beside_the_first(remote):
    parts = {}
    for number, own in enumerate((TENSORS[:1], TENSORS[1:])):
        said = {"split.no": Typed("u16", number), "split.count": Typed("u16", 2), "split.tensors.count": 2}
        head, file_bytes = complete({**(METADATA if number == 0 else {}), **said}, own)
        parts[f"/a%20b/m-{number + 1:05d}-of-00002.gguf"] = head.ljust(file_bytes, b"\0")
    with WebServer({path: ranged(data) for path, data in parts.items()}) as server:
        found = read_remote_header(f"{server.url}/a%20b/m-00001-of-00002.gguf?download=true", remote)
    assert (found.parts, found.file_bytes, len(found.tensors)) == (2, sum(map(len, parts.values())), 2)
    assert [asked.path for asked in server.asked][1] == "/a%20b/m-00002-of-00002.gguf?download=true"
    assert server.asked[1].last_byte == 2**16 - 1


def test_a_proxy_of_the_environment_is_used(remote, monkeypatch):
    with (
        WebServer({"http://models.example/model.gguf": ranged(FILE)}) as proxy,
        WebServer({"/model.gguf": ranged(FILE)}) as direct,
    ):
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        read_remote_header("http://models.example/model.gguf", remote)
        read_remote_header(f"{direct.url}/model.gguf", remote)
    assert (proxy.paths(), direct.paths()) == (["http://models.example/model.gguf"], ["/model.gguf"])


# Registries


PARAMETERS = b'{"num_ctx": 8192, "stop": ["a"]}'
CONFIG = b'{"model_format": "gguf", "model_family": "llama", "file_type": "Q4_0", "requires": "0.30.0"}'
PROJECTOR = complete({"general.architecture": "clip"}, [("v.patch_embd.weight", (14, 14, 3, 64), "f16")])
BLOBS = {"model": [FILE], "projector": [PROJECTOR[0].ljust(PROJECTOR[1], b"\0")], "params": [PARAMETERS], "license": [b"free"]}
ROUTES = registry("team/model", "7b", BLOBS, CONFIG)


def test_a_registry_tells_everything_before_anything_is_pulled(remote):
    with WebServer(ROUTES) as server:
        found = read_remote_header(f"{server.host}/team/model:7b", remote)
        projector = read_remote_header(f"{server.host}/team/model:7b", remote, "projector")
    sizes = {kind: sum(map(len, blobs)) for kind, blobs in BLOBS.items()}
    assert (found.name, found.file_bytes) == (f"{server.host}/team/model:7b", FILE_BYTES)
    assert found.manifest.bytes_by_kind == sizes
    assert found.manifest.total_bytes == sum(sizes.values()) + len(CONFIG)
    assert found.manifest.parameters == {"num_ctx": 8192, "stop": ["a"]}
    assert found.manifest.config["requires"] == "0.30.0"
    assert found.digests == (digest_of(FILE),)
    assert found.manifest.digest == ROUTES["/v2/team/model/manifests/7b"].headers["Docker-Content-Digest"][7:]
    assert projector.metadata["general.architecture"] == "clip"
    assert projector.file_bytes == PROJECTOR[1]


@pytest.mark.parametrize(("version", "agent"), [(None, "ollama/9.9.9 "), ("0.24.0", "ollama/0.24.0 ")])
def test_the_registry_is_asked_as_the_ollama_that_is_to_run_the_model(version, agent):
    with WebServer(ROUTES) as server:
        read_remote_header(f"{server.host}/team/model:7b", Remote(plain_http=True, engine_version=version, cache_directory=""))
    assert all(asked.headers["user-agent"].startswith(agent) for asked in server.asked)
    assert "manifest.v2+json" in server.asked[0].headers["accept"]


def test_a_model_in_several_layers_is_one(remote):
    files = []
    for number in (1, 0):
        said = {"split.no": number, "split.count": 2, "split.tensors.count": 2, **(METADATA if number == 0 else {})}
        head, file_bytes = complete(said, [TENSORS[number]])
        files.append(head.ljust(file_bytes, b"\0"))
    with WebServer(registry("team/model", "latest", {"model": files})) as server:
        found = read_remote_header(f"{server.host}/team/model", remote)
    assert (found.parts, found.file_bytes) == (2, sum(map(len, files)))
    assert found.metadata["llama.block_count"] == 2
    assert [tensor.name for tensor in found.tensors] == [name for name, _shape, _kind in TENSORS]


def with_manifest(data, **headers):
    return {**ROUTES, "/v2/team/model/manifests/7b": Reply(200, data if isinstance(data, bytes) else manifest(data), headers)}


MODEL = layer("model", FILE)
BAD_MANIFESTS = {
    "page": (with_manifest(b"<html>"), "its manifest is no JSON object"),
    "list": (with_manifest(b"[]"), "its manifest is no JSON object"),
    "nested": (with_manifest(b"[" * 200_000), "its manifest is no JSON object"),
    "digits": (with_manifest(b'{"layers": ' + b"9" * 5_000_000 + b"}"), "its manifest is no JSON object"),
    "endless": (with_manifest(b" " * (2**23 + 1)), "got more than 8388608 bytes"),
    "index": (with_manifest(b'{"manifests": []}'), "lists no layers .it has .'manifests'"),
    "no layers": (with_manifest([]), "has no model layer, only these: none"),
    "other layers": (with_manifest([layer("license", b"")]), "has no model layer, only these: license"),
    "safetensors": (with_manifest([layer("tensor", b"")]), "weights are safetensors for MLX"),
    "layer of nothing": (with_manifest([7]), "lacks mediaType or a sha256 digest"),
    "digest that leads away": (with_manifest([{**MODEL, "digest": "sha256:../../etc"}]), "lacks mediaType or a sha256 digest"),
    "size of text": (with_manifest([{**MODEL, "size": "7"}]), "has size '7', expected bytes"),
    "negative size": (with_manifest([{**MODEL, "size": -7}]), "has size -7, expected bytes"),
    "other size": (with_manifest([{**MODEL, "size": 7}]), "has .* bytes of sha256:.*, expected the 7 of its manifest"),
    "two models": (with_manifest([MODEL, MODEL]), "lists 2 model layers, expected the 1"),
    "other digest": (with_manifest([MODEL], **{"Docker-Content-Digest": "sha256:" + "0" * 64}), "the registry says 000000000000"),
    "cloud": (
        {**registry("team/model", "7b", {}, b'{"remote_host": "https://ollama.com:443"}')},
        "runs in Ollama's cloud",
    ),
    "settings that are none": (registry("team/model", "7b", {"model": [FILE], "params": [b"7"]}), "its params layer is no JSON"),
    "no blob": ({"/v2/team/model/manifests/7b": Reply(200, manifest([MODEL]))}, "answered 404"),
}


@pytest.mark.parametrize(("routes", "words"), BAD_MANIFESTS.values(), ids=BAD_MANIFESTS)
def test_manifests_that_are_none_are_refused(remote, routes, words):
    with WebServer(routes) as server:
        refused(f"{server.host}/team/model:7b", remote, words)


def test_a_model_of_the_cloud_is_not_even_asked_for(remote):
    refused("gpt-oss:120b-cloud", remote, "runs in Ollama's cloud")


# The cache


def test_what_was_read_once_is_not_read_again(remote, tmp_path):
    with WebServer(ROUTES) as server:
        first = read_remote_header(f"{server.host}/team/model:7b", remote)
        asked = len(server.asked)
        again = read_remote_header(f"{server.host}/team/model:7b", remote)
    assert again.transferred_bytes < first.transferred_bytes - len(HEAD) + 1
    assert not any("range" in later.headers for later in server.asked[asked:])
    assert (again.metadata, again.tensors, again.file_bytes) == (first.metadata, first.tensors, first.file_bytes)
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_a_digest_that_another_server_told_of_is_not_believed(remote):
    other_head = complete({"general.architecture": "other"}, [])[0].ljust(FILE_BYTES, b"\0")
    lying = {**ROUTES, f"/v2/team/model/blobs/{digest_of(FILE)}": ranged(other_head)}
    with WebServer(lying) as bad, WebServer(ROUTES) as good:
        assert read_remote_header(f"{bad.host}/team/model:7b", remote).metadata == {"general.architecture": "other"}
        assert read_remote_header(f"{good.host}/team/model:7b", remote).metadata["llama.block_count"] == 2


def test_the_digest_that_a_redirect_tells_is_used(remote):
    digest = hashlib.sha256(FILE).hexdigest()
    with WebServer({"/blob": ranged(FILE)}) as other, WebServer() as server:
        server.routes["/model.gguf"] = redirect(f"{other.url}/blob", 302, {"X-Linked-Etag": f'"{digest}"'})
        first = read_remote_header(f"{server.url}/model.gguf", remote)
        again = read_remote_header(f"{server.url}/model.gguf", remote)
    assert first.digests == again.digests == (f"sha256:{digest}",)
    assert again.transferred_bytes == 0
    assert again.tensors == first.tensors


# TLS


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A server's context with a certificate of its own CA, and the file of that CA."""
    made = make_certificate(tmp_path_factory.mktemp("tls"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate_file, made.key_file)
    return context, str(made.certificate_file)


def test_certificates_are_verified(tls):
    context, ca_file = tls
    with WebServer(ROUTES, context) as server:
        source = f"{server.host}/team/model:7b"
        refused(source, Remote(cache_directory=""), "certificate is not trusted here .*name the CA")
        assert read_remote_header(source, Remote(cache_directory="", ca_file=ca_file)).file_bytes == FILE_BYTES
        server.routes["/v2/team/model/manifests/7b"] = redirect("http://127.0.0.1/x")
        refused(source, Remote(cache_directory="", ca_file=ca_file), "redirects to an address without TLS")
    refused(source, Remote(cache_directory="", ca_file="/nowhere.pem"), "/nowhere.pem: is no readable file of PEM certificates")


def test_a_server_without_tls_is_told(remote):
    with WebServer(ROUTES) as server:
        refused(f"{server.host}/team/model:7b", Remote(cache_directory=""), "no TLS connection .*asked over plain http")
