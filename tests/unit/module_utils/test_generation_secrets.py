"""Secrets of the router's generations: which are kept, when an edition is another one, and that what serves is never touched."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from plugins.module_utils import client_keys, generation_secrets
from plugins.module_utils.client_keys import ClientError
from plugins.module_utils.generation_secrets import Given, SecretsError, kept_in
from tests.module_doors import call_module

KEY, OTHER = "sk-0123456789abcdef", "sk-fedcba9876543210"
MASTER = "LITELLM_MASTER_KEY"


class Place:
    """A router's directory, and its module as the role calls it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clients, self.current = folder / "clients", folder / "generations" / "serves"

    def call(self, check_mode: bool = False, **given):
        paths = {"clients": self.clients, "current": self.current, "former": self.folder / "router.env"}
        arguments = {"secrets": {MASTER: None}, **given, **{name: str(path) for name, path in paths.items()}}
        return call_module("litellm_secrets", check_mode, **arguments)

    def write(self, name: str = "serves", **given):
        """A generation, as the role makes one."""
        edition = self.call(**given)["edition"]
        folder = self.folder / "generations" / name
        folder.mkdir(parents=True, exist_ok=True)
        return self.call(folder=str(folder), edition=edition, **given)

    def files(self):
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in self.folder.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


# Of what serves: the given secrets, models and keys; then what is said to be another edition.
SERVES = {"secrets": {MASTER: KEY, "REDIS_PASSWORD": "a b#c=d"}, "models": {"x": ["a"]}, "keys": {"x": OTHER}}
CHANGES = {
    "the same": ({}, False),
    "no key, so the one that serves": ({"secrets": {MASTER: None, "REDIS_PASSWORD": "a b#c=d"}}, False),
    "another key": ({"secrets": {MASTER: KEY + "0", "REDIS_PASSWORD": "a b#c=d"}}, True),
    "another password": ({"secrets": {MASTER: KEY, "REDIS_PASSWORD": "a b"}}, True),
    "a variable less": ({"secrets": {MASTER: KEY}}, True),
    "other models": ({"models": {"x": ["b"]}}, True),
    "another client": ({"models": {"x": ["a"], "y": ["a"]}, "keys": {"x": OTHER, "y": OTHER + "0"}}, True),
    "a key that is yet to be made": ({"keys": {}}, True),
    "no client": ({"models": {}, "keys": {}}, True),
}


@pytest.mark.parametrize(("change", "another"), CHANGES.values(), ids=CHANGES)
def test_the_edition_stays_as_long_as_nothing_changes(place, change, another):
    first = place.write(**SERVES)["edition"]
    before = place.files()
    seen = place.call(**{**SERVES, **change})
    assert (seen["edition"] != first, seen["changed"]) == (another, False)
    assert place.files() == before


MORE = {"secrets": {**SERVES["secrets"], "ENGINE_KEY": "k"}, **{name: SERVES[name] for name in ("models", "keys")}}
# What is said, of MORE; whether a canary has something new to try.
ENGINES = {
    "the same": ({}, False),
    "another key of an engine": ({"secrets": {**MORE["secrets"], "ENGINE_KEY": "l"}}, True),
    "one more": ({"secrets": {**MORE["secrets"], "OPENAI_API_KEY": "k"}}, True),
    "one less": ({"secrets": SERVES["secrets"]}, True),
    "another master key": ({"secrets": {**MORE["secrets"], MASTER: KEY + "0"}}, False),
    "no master key": ({"secrets": {**MORE["secrets"], MASTER: None}}, False),
    "another password of Redis": ({"secrets": {**MORE["secrets"], "REDIS_PASSWORD": "x"}}, False),
    "no client": ({"models": {}, "keys": {}}, False),
    "other models": ({"models": {"x": ["b"]}}, False),
}


@pytest.mark.parametrize(("change", "another"), ENGINES.values(), ids=ENGINES)
def test_what_engines_ask_for_has_a_word_of_its_own(place, change, another):
    first = place.write(**MORE)
    assert (place.call(**{**MORE, **change})["engines"] != first["engines"]) == another


def test_an_edition_of_one_word_is_another_one(place):
    """An earlier version of the role wrote it; nobody knows what its canary tried."""
    place.write(**SERVES)
    path = place.current / "router.env"
    path.write_text(re.sub(r"(# edition \w+)-\w+", r"\1", path.read_text()))
    path.chmod(0o600)
    seen = place.call(**SERVES)
    assert re.fullmatch(r"\w{16}-\w{16}", seen["edition"])
    assert seen["edition"].endswith(seen["engines"])


def test_an_edition_says_nothing_of_the_secrets(tmp_path):
    """Two hosts with the same secrets have different ones: nobody can try passwords against it."""
    editions = {Place(tmp_path / name).write(**SERVES)["edition"] for name in "ab"}
    assert len(editions) == 2


def test_another_generation_leaves_those_of_what_serves_alone(place):
    place.write(**SERVES)
    before = place.files()
    assert place.write("next", secrets={MASTER: OTHER})["changed"] is True
    assert {path: place.files()[path] for path in before} == before
    assert kept_in(str(place.folder / "generations" / "next")).variables == {MASTER: OTHER}
    assert kept_in(str(place.current)).variables == {MASTER: KEY, "REDIS_PASSWORD": "a b#c=d"}


def test_files_are_private_and_written_once(place):
    assert place.write(**SERVES)["changed"] is True
    paths = [place.current / name for name in ("router.env", "clients.json")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    table = json.loads(paths[1].read_text())
    assert [line["key_alias"] for line in table.values()] == ["x"]
    assert OTHER not in paths[1].read_text()
    before = place.files()
    assert place.write(**SERVES)["changed"] is False
    assert place.files() == before
    paths[0].chmod(0o644)
    assert place.write(**SERVES)["changed"] is True
    assert stat.S_IMODE(paths[0].stat().st_mode) == 0o600


def test_a_user_that_is_yet_to_be_made_is_a_change(place):
    """Check mode makes no user: what lies there for another one would be written for it."""
    place.write(**SERVES)
    folder = str(place.current.resolve())
    answer = place.call(
        check_mode=True, folder=folder, edition=kept_in(folder).edition, owner="homelab-nobody-has-this", **SERVES
    )
    assert answer["changed"] is True, answer


def test_a_key_is_made_when_it_is_written_and_kept_afterwards(place):
    place.write()
    made = kept_in(str(place.current)).variables[MASTER]
    assert client_keys.KEY.fullmatch(made)
    place.write("next", secrets={MASTER: None, "MORE": "x"})
    assert kept_in(str(place.folder / "generations" / "next")).variables == {MASTER: made, "MORE": "x"}


def test_the_key_of_an_earlier_layout_is_kept(place):
    (place.folder / "router.env").write_text(f"{MASTER}={KEY}\n")
    place.write()
    assert kept_in(str(place.current)).variables == {MASTER: KEY}


def test_check_mode_writes_nothing(place):
    answer = place.call(check_mode=True, folder=str(place.folder / "generations" / "new"), edition="e", **SERVES)
    assert answer["changed"] is True
    assert place.files() == {}


# (what is given, words of the refusal)
REFUSED = {
    "a name with a dash": ({"secrets": {MASTER: None, "A-B": "0123456789"}}, "expected the name of a variable"),
    "two lines": ({"secrets": {MASTER: None, "A": "x\ny"}}, "one line"),
    "a separator that ends a line": ({"secrets": {MASTER: None, "A": "x\u2028y"}}, "one line"),
    "a space at the end": ({"secrets": {MASTER: None, "A": "x "}}, "one line"),
    "nothing": ({"secrets": {MASTER: None, "A": ""}}, "one line"),
    "a number": ({"secrets": {MASTER: None, "A": 12345}}, "one line"),
    "nobody's": ({"secrets": {MASTER: None, "A": None}}, "one line"),
    "a client's name": ({"models": {"team/a": ["a"]}}, "expected a name of letters"),
    "the master key for a client": ({"secrets": {MASTER: KEY}, "models": {"x": ["a"]}, "keys": {"x": KEY}}, "has the master key"),
    "one key for two": ({"models": {"x": ["a"], "y": ["a"]}, "keys": {"x": KEY, "y": KEY}}, "the same key"),
}


@pytest.mark.parametrize(("given", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused_without_being_shown(place, given, words):
    answer = place.call(**given)
    assert answer["failed"] is True
    assert words in answer["msg"]
    assert KEY not in answer["msg"]
    assert place.files() == {}


def test_a_given_key_that_was_made_for_another_is_refused(place):
    call_module("litellm_clients", models={"x": ["a"]}, keys={}, directory=str(place.clients))
    made = client_keys.read_keys(str(place.clients), ["x"])["x"]
    assert "the same key" in place.call(models={"x": ["a"], "y": ["a"]}, keys={"y": made})["msg"]
    assert "has the master key" in place.call(secrets={MASTER: made}, models={"x": ["a"]})["msg"]


def test_errors_are_of_their_kind():
    with pytest.raises(SecretsError):
        generation_secrets.check(Given({"A": ""}, {}, {}, ""))
    with pytest.raises(ClientError):
        generation_secrets.check(Given({}, {"x": []}, {}, ""))
