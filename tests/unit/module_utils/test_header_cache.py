"""The cache of headers: what is kept comes back, what is damaged or not ours does not, and it does not grow."""

from __future__ import annotations

import io
import math
import os

import pytest

from plugins.module_utils import header_cache
from plugins.module_utils.gguf import parse
from plugins.module_utils.header_cache import HeaderCache, default_directory
from tests.gguf_files import Typed, complete

METADATA = {
    "text": "ä\u2028",
    "flag": True,
    "list": [1, 2],
    "long": [0.5] * 5000,
    "u64": Typed("u64", 2**64 - 1),
    "float": 0.1,
    "infinite": math.inf,
}
HEAD, FILE_BYTES = complete(METADATA, [("t", (32, 2), "q8_0"), ("scalar", (), 99)])
HEADER = parse(io.BytesIO(HEAD), "first name", FILE_BYTES)
SERVER, DIGEST = "https://registry:443", "sha256:" + "a" * 64


@pytest.fixture
def cache(tmp_path):
    return HeaderCache(str(tmp_path / "deep" / "cache"))


def files(cache):
    return sorted(entry.path for entry in os.scandir(cache._directory))


def test_a_header_comes_back_as_it_was_under_another_name(cache):
    assert cache.get(SERVER, DIGEST, "other name") is None
    cache.put(SERVER, DIGEST, HEADER)
    found = cache.get(SERVER, DIGEST, "other name")
    assert found.name == "other name"
    assert (found.metadata, found.tensors, found.file_bytes) == (HEADER.metadata, HEADER.tensors, HEADER.file_bytes)
    assert (found.version, found.header_bytes, found.parts) == (HEADER.version, HEADER.header_bytes, 1)
    assert [type(value) for value in found.metadata.values()] == [type(value) for value in HEADER.metadata.values()]
    assert cache.get("https://other:443", DIGEST, "x") is None
    assert cache.get(SERVER, "sha256:" + "b" * 64, "x") is None
    assert os.stat(cache._directory).st_mode & 0o777 == 0o700
    assert os.stat(files(cache)[0]).st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"", lambda data: data.replace(b"32", b"64"), lambda data: b"\n" + data]
)
def test_a_damaged_entry_is_none_and_is_replaced(cache, damage):
    cache.put(SERVER, DIGEST, HEADER)
    (path,) = files(cache)
    with open(path, "rb") as stream:
        data = stream.read()
    with open(path, "wb") as stream:
        stream.write(damage(data))
    assert cache.get(SERVER, DIGEST, "x") is None
    cache.put(SERVER, DIGEST, HEADER)
    assert cache.get(SERVER, DIGEST, "x") is not None


def test_a_directory_that_others_can_write_to_is_not_used(cache):
    cache.put(SERVER, DIGEST, HEADER)
    os.chmod(cache._directory, 0o770)
    assert cache.get(SERVER, DIGEST, "x") is None
    cache.put(SERVER, "sha256:" + "b" * 64, HEADER)
    assert len(files(cache)) == 1


def test_the_oldest_entries_go_first(cache, monkeypatch):
    monkeypatch.setattr(header_cache, "MAX_ENTRIES", 3)
    for number in range(3):
        cache.put(SERVER, str(number), HEADER)
        os.utime(cache._path(SERVER, str(number)), (number, number))
    cache.get(SERVER, "0", "x")  # was used just now
    cache.put(SERVER, "3", HEADER)
    assert [number for number in range(4) if cache.get(SERVER, str(number), "x")] == [0, 2, 3]


def test_the_entries_together_stay_small(cache, monkeypatch):
    monkeypatch.setattr(header_cache, "MAX_CACHE_BYTES", 3 * len(header_cache.encoded(HEADER)))
    for number in range(9):
        cache.put(SERVER, str(number), HEADER)
    assert len(files(cache)) == 3


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(tmp_path):
    (tmp_path / "file").write_text("")
    cache = HeaderCache(str(tmp_path / "file" / "cache"))
    cache.put(SERVER, DIGEST, HEADER)
    assert cache.get(SERVER, DIGEST, "x") is None


def test_the_default_is_the_users_own_cache(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert default_directory() == "/caches/homelab-llm/headers"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_directory() == "/home/somebody/.cache/homelab-llm/headers"
