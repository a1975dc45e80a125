"""Files of a release come whole, as their digest says, and not twice."""

from __future__ import annotations

import hashlib
import re

import pytest

from plugins.module_utils.release_archive import ReleaseError
from plugins.module_utils.release_fetch import fetch, parse_checksums, read_checksums
from tests.web_server import Asked, Reply, WebServer

DATA = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(DATA).hexdigest()
A, B = "a" * 64, "B" * 64


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def web():
    with WebServer() as server:
        yield server


LISTS = [
    (f"{A}  ./x.tar.zst\n{B}  y.tgz\n", {"x.tar.zst": A, "y.tgz": B.lower()}),
    (f"{A} *x.zip\r\n\r\n# words\n", {"x.zip": A}),
    (f"{A}  ../x.zip\n{A[:-1]}  y.zip\n<html>{A}  z.zip", {}),
]


@pytest.mark.parametrize(("text", "found"), LISTS, ids=["ollama", "binary", "nothing"])
def test_checksums_are_read(text, found):
    assert parse_checksums(text) == found


def test_a_list_comes_from_a_server_or_a_file(web, tmp_path):
    text = f"{A}  ./x.tgz\n"
    web.routes["/sha256sum.txt"] = Reply(200, text.encode())
    (tmp_path / "my list").write_text(text)
    assert read_checksums(f"{web.url}/sha256sum.txt") == read_checksums(f"file://{tmp_path}/my%20list") == {"x.tgz": A}


NO_LISTS = [("/gone", "got status 404; expected the file"), ("/page", "got no line of a sha256 and a file name")]


@pytest.mark.parametrize(("path", "words"), NO_LISTS, ids=["gone", "page"])
def test_what_is_no_list_is_refused_without_its_secrets(web, path, words):
    web.routes["/page"] = Reply(200, b"<html>sign in</html>")
    with pytest.raises(ReleaseError, match=words) as caught:
        read_checksums(web.url.replace("://", "://me:hidden@") + path)
    assert "hidden" not in str(caught.value)


def test_a_file_of_another_machine_is_refused():
    with pytest.raises(ReleaseError, match="with the machine nas; expected file:///path"):
        read_checksums("file://nas/list")


def rest(asked: Asked) -> Reply:
    """DATA from where it is asked for on."""
    match = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("range", ""))
    if not match:
        return Reply(200, DATA)
    begin = int(match[1])
    return Reply(206, DATA[begin:], {"Content-Range": f"bytes {begin}-{len(DATA) - 1}/{len(DATA)}"})


def cut(asked: Asked) -> Reply:
    """The same, the connection broken after half of what is left."""
    whole = rest(asked)
    return Reply(whole.status, whole.body, whole.headers, cut_bytes=max(len(whole.body) // 2, 300_000))


def test_a_file_is_fetched_once(web, tmp_path):
    web.routes["/x"] = Reply(200, DATA)
    path = tmp_path / "x"
    assert fetch(f"{web.url}/x", SHA256, str(path)) == len(DATA)
    assert fetch(f"{web.url}/x", SHA256, str(path)) == 0
    assert (path.read_bytes() == DATA, web.paths(), [item.name for item in tmp_path.iterdir()]) == (True, ["/x"], ["x"])


def test_a_broken_connection_is_gone_on_with(web, tmp_path):
    web.routes["/x"] = cut
    assert fetch(f"{web.url}/x", SHA256, str(tmp_path / "x")) == len(DATA)
    assert len(web.asked) > 1
    assert (tmp_path / "x").read_bytes() == DATA


def test_the_next_run_goes_on_where_the_last_one_ended(web, tmp_path):
    (tmp_path / "x.part").write_bytes(DATA[:700_000])
    web.routes["/x"] = rest
    assert fetch(f"{web.url}/x", SHA256, str(tmp_path / "x")) == len(DATA) - 700_000
    assert web.asked[0].headers["range"] == "bytes=700000-"


def test_what_was_complete_is_not_fetched_again(web, tmp_path):
    (tmp_path / "x.part").write_bytes(DATA)
    web.routes["/x"] = Reply(416)
    assert fetch(f"{web.url}/x", SHA256, str(tmp_path / "x")) == 0


@pytest.mark.parametrize("route", [rest, Reply(200, DATA)], ids=["ranges", "no ranges"])
def test_the_beginning_of_another_file_is_thrown_away(web, tmp_path, route):
    (tmp_path / "x.part").write_bytes(b"other" * 100)
    web.routes["/x"] = route
    fetch(f"{web.url}/x", SHA256, str(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == DATA


def test_a_server_without_ranges_that_always_breaks_is_left(web, tmp_path):
    web.routes["/x"] = Reply(200, DATA, cut_bytes=1000)
    with pytest.raises(ReleaseError, match=r"was cut after 1000 bytes; what was received is kept, run again to go on"):
        fetch(f"{web.url}/x", SHA256, str(tmp_path / "x"))
    assert (tmp_path / "x.part").stat().st_size == 1000
    assert not (tmp_path / "x").exists()


def test_another_file_is_refused_and_removed(web, tmp_path):
    web.routes["/x"] = Reply(200, b"not it")
    with pytest.raises(ReleaseError, match=f"got a file of sha256 [0-9a-f]{{64}}; expected {SHA256}; check the mirror"):
        fetch(f"{web.url}/x", SHA256, str(tmp_path / "x"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_address_is_copied(tmp_path):
    (tmp_path / "there").write_bytes(DATA)
    assert fetch(f"file://{tmp_path}/there", SHA256, str(tmp_path / "x")) == len(DATA)
    with pytest.raises(ReleaseError, match="No such file"):
        fetch(f"file://{tmp_path}/gone", SHA256, str(tmp_path / "y"))
