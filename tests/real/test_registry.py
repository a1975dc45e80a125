"""Headers out of a real registry: by Range, with its redirects, tokens and certificates."""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from plugins.module_utils.gguf import GgufError, LongArray
from plugins.module_utils.gguf_remote import Remote, read_remote_header
from tests.certificates import Certificate, make_certificate
from tests.gguf_files import complete
from tests.real.registry import Unavailable, running
from tests.web_server import Asked, Reply, WebServer

MEBIBYTE = 2**20
GIBIBYTE = 2**30
LIMIT_BYTES = 20 * MEBIBYTE
# As large as headers get: the vocabulary and merges of the largest tokenizers, one tensor of whatever size.
LARGE = {
    "general.architecture": "llama",
    "llama.block_count": 1,
    "tokenizer.ggml.tokens": [f"token{number:06d}" for number in range(262_144)],
    "tokenizer.ggml.merges": ["abc defg"] * 515_000,
    "tokenizer.ggml.scores": [0.0] * 262_144,
    "tokenizer.ggml.token_type": [1] * 262_144,
}
SMALL = {"general.architecture": "llama", "llama.block_count": 1}


def model(metadata, rows):
    """Header and size of a model with one tensor of so many rows."""
    return complete(metadata, [("token_embd.weight", (4096, rows), "f16")])


@pytest.fixture
def remote(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return Remote(plain_http=True, cache_directory=str(tmp_path / "headers"))


@pytest.fixture
def registry(tmp_path):
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(running(tmp_path))
        except Unavailable as reason:
            pytest.skip(str(reason))
        yield found


@dataclass
class Counter:
    """What went from the registry to whoever asked through ``host``."""

    host: str
    sent_bytes: int = 0


@contextlib.contextmanager
def counted(host: str) -> Iterator[Counter]:
    """A second address of a server that counts the bytes on the wire."""
    target_host, _colon, target_port = host.partition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        counter = Counter(f"127.0.0.1:{listener.getsockname()[1]}")

        def forward(source: socket.socket, target: socket.socket, count: bool) -> None:
            with contextlib.suppress(OSError):
                while piece := source.recv(65_536):
                    counter.sent_bytes += len(piece) * count
                    target.sendall(piece)
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client = listener.accept()[0]
                    server = socket.create_connection((target_host, int(target_port)))
                    threading.Thread(target=forward, args=(client, server, False), daemon=True).start()
                    threading.Thread(target=forward, args=(server, client, True), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield counter
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("metadata", [SMALL, LARGE], ids=["small header", "large header"])
def test_a_header_costs_less_than_20_mib_whatever_the_size_of_the_file(registry, remote, metadata):
    head, file_bytes = model(metadata, 400_000)
    assert file_bytes > 3 * GIBIBYTE
    registry.place("team/large", "3g", head, file_bytes)
    with counted(registry.host) as counter:
        found = read_remote_header(f"{counter.host}/team/large:3g", remote)
        assert (found.file_bytes, found.manifest.total_bytes) == (file_bytes, file_bytes + 2)
        assert found.metadata["llama.block_count"] == 1
        if metadata is LARGE:
            assert found.metadata["tokenizer.ggml.tokens"] == LongArray(262_144, "str")
        assert len(head) <= found.transferred_bytes < LIMIT_BYTES
        assert counter.sent_bytes < LIMIT_BYTES
        first_bytes = counter.sent_bytes
        read_remote_header(f"{counter.host}/team/large:3g", remote)
        assert counter.sent_bytes - first_bytes < 10_000


def test_a_pushed_model_is_read_with_its_manifest(registry, remote):
    head, file_bytes = model(SMALL, 2000)
    parameters, config = b'{"num_ctx": 8192}', b'{"model_format": "gguf"}'
    registry.push("team/model", "7b", {"model": [head.ljust(file_bytes, b"\0")], "params": [parameters]}, config)
    found = read_remote_header(f"{registry.host}/team/model:7b", remote)
    assert found.manifest.bytes_by_kind == {"model": file_bytes, "params": len(parameters)}
    assert (found.manifest.parameters, found.manifest.config) == ({"num_ctx": 8192}, {"model_format": "gguf"})
    assert found.transferred_bytes < 2 * MEBIBYTE < file_bytes
    for missing in ("team/model:8b", "team/other"):
        with pytest.raises(GgufError, match=r"answered 404 .*unknown.*check the name and the tag"):
            read_remote_header(f"{registry.host}/{missing}", remote)


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def token(made: Certificate, repository: str) -> bytes:
    """A token as distribution's token authentication wants it: who may do what, signed with a key of a CA it trusts."""
    now = int(datetime.datetime.now(datetime.UTC).timestamp())
    der = made.certificate.public_bytes(serialization.Encoding.DER)
    head = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
    access = [{"type": "repository", "name": repository, "actions": ["pull"]}]
    claims = {"iss": "test", "sub": "", "aud": "reg", "exp": now + 300, "nbf": now - 60, "iat": now, "jti": "1", "access": access}
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (head, claims))
    numbers = utils.decode_dss_signature(made.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{base64url(b''.join(number.to_bytes(32, 'big') for number in numbers))}".encode()


def test_a_registry_with_a_certificate_that_wants_tokens(tmp_path, remote):
    made = make_certificate(tmp_path)
    certificate_file = str(made.certificate_file)
    (tmp_path / "open").mkdir()
    head, file_bytes = model(SMALL, 2000)
    with WebServer() as tokens, contextlib.ExitStack() as stack:
        tls = {"tls": {"certificate": certificate_file, "key": str(made.key_file)}}
        # The realm is the test's own server; over TLS a real one would have to have TLS too.
        rules = {"realm": f"{tokens.url}/token", "service": "reg", "issuer": "test", "rootcertbundle": certificate_file}
        try:
            with running(tmp_path / "open") as writable:
                writable.push("team/model", "7b", {"model": [head.ljust(file_bytes, b"\0")]})
            storage = {"filesystem": {"rootdirectory": str(writable.root)}}
            for name in ("guarded", "encrypted"):
                (tmp_path / name).mkdir()
            guarded = stack.enter_context(running(tmp_path / "guarded", {"storage": storage, "auth": {"token": rules}}))
            encrypted = stack.enter_context(running(tmp_path / "encrypted", {"storage": storage, "http": tls}))
        except Unavailable as reason:
            pytest.skip(str(reason))

        def answer(_asked: Asked) -> Reply:
            return Reply(200, json.dumps({"token": token(made, "team/model").decode()}).encode())

        tokens.routes["/token"] = answer
        assert read_remote_header(f"{guarded.host}/team/model:7b", remote).file_bytes == file_bytes
        assert tokens.paths() == ["/token?service=reg&scope=repository%3Ateam%2Fmodel%3Apull"]
        tokens.routes["/token"] = Reply(401)
        with pytest.raises(GgufError, match="answered 401 to a request for a token without a login"):
            read_remote_header(f"{guarded.host}/team/model:7b", remote)
        with pytest.raises(GgufError, match="certificate is not trusted here"):
            read_remote_header(f"{encrypted.host}/team/model:7b", Remote(cache_directory=""))
        found = read_remote_header(f"{encrypted.host}/team/model:7b", Remote(cache_directory="", ca_file=certificate_file))
        assert found.file_bytes == file_bytes
