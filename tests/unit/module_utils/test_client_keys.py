"""Clients' keys: what is refused, what is made and removed, and that no key is in the table."""

from __future__ import annotations

import hashlib
import json
import stat

import pytest

from plugins.module_utils import client_keys
from plugins.module_utils.client_keys import ClientError, Work, check, table, work
from tests.module_doors import call_module

KEY = "sk-0123456789abcdef"
# (models, keys, words)
REFUSED = {
    "a path": ({"../x": ["a"]}, {}, "expected a name of letters"),
    "an empty name": ({"": ["a"]}, {}, "expected a name of letters"),
    # LiteLLM reads no models as all models.
    "no models": ({"x": []}, {}, "one or more"),
    "models as text": ({"x": "a"}, {}, "one or more"),
    "models of nothing": ({"x": [""]}, {}, "one or more"),
    "a short key": ({"x": ["a"]}, {"x": "sk-short"}, "another shape"),
    "an empty key": ({"x": ["a"]}, {"x": ""}, "another shape"),
    "a key of another kind": ({"x": ["a"]}, {"x": "0123456789abcdef0123"}, "another shape"),
    "two of one key": ({"x": ["a"], "y": ["a"]}, {"x": KEY, "y": KEY}, "the same key"),
}


@pytest.mark.parametrize(("models", "keys", "words"), REFUSED.values(), ids=REFUSED)
def test_a_client_that_would_be_misread_is_refused(models, keys, words):
    with pytest.raises(ClientError, match=words) as caught:
        check(models, keys)
    assert not any(key and key in str(caught.value) for key in keys.values())


def test_right_ones_are_taken():
    check({"x": ["a"], "y.z-1_2": ["a", "b"]}, {"x": KEY, "y.z-1_2": None, "unknown": "ignored"})


# (clients, keys that are given, names with a generated key, what is done)
WORKS = [
    ({"x": ["a"]}, {}, [], Work(["x"], [])),
    ({"x": ["a"]}, {"x": None}, ["x"], Work([], [])),
    ({"x": ["a"]}, {"x": KEY}, ["x"], Work([], ["x"])),
    ({"x": ["a"], "y": ["a"]}, {"y": KEY}, ["z"], Work(["x"], ["z"])),
    ({}, {}, ["x"], Work([], ["x"])),
]


@pytest.mark.parametrize(("models", "keys", "present", "expected"), WORKS, ids=range(len(WORKS)))
def test_a_key_is_made_once_and_goes_with_its_client(models, keys, present, expected):
    assert work(models, keys, present) == expected


def test_the_table_has_digests_and_no_keys():
    text = table({"x": ["a", "b"]}, {"x": KEY})
    assert json.loads(text) == {hashlib.sha256(KEY.encode()).hexdigest(): {"key_alias": "x", "models": ["a", "b"]}}
    assert KEY not in text


def test_another_key_name_or_model_is_another_table():
    tables = [
        table({"x": ["a"]}, {"x": KEY}),
        table({"x": ["b"]}, {"x": KEY}),
        table({"y": ["a"]}, {"y": KEY}),
        table({"x": ["a"]}, {"x": KEY + "0"}),
        table({"x": ["a"]}, {}),
    ]
    assert len(set(tables)) == len(tables)


def test_keys_are_made_kept_and_removed(tmp_path):
    folder = str(tmp_path / "clients")
    client_keys.make(folder, ["x", "y"])
    names = client_keys.present_names(folder)
    keys = client_keys.read_keys(folder, names)
    assert names == ["x", "y"]
    assert all(client_keys.KEY.fullmatch(key) for key in keys.values())
    assert keys["x"] != keys["y"]
    assert {stat.S_IMODE((tmp_path / "clients" / f"{name}.key").stat().st_mode) for name in names} == {0o600}
    assert stat.S_IMODE((tmp_path / "clients").stat().st_mode) == 0o700
    client_keys.remove(folder, ["x"])
    assert client_keys.read_keys(folder, client_keys.present_names(folder)) == {"y": keys["y"]}


def test_a_file_that_holds_no_key_is_named(tmp_path):
    (tmp_path / "x.key").write_text("nothing")
    with pytest.raises(ClientError, match=r"x\.key: its content \(not shown\) is no key"):
        client_keys.read_keys(str(tmp_path), ["x"])


def test_clients_that_left_keep_their_keys_until_the_new_table_serves(tmp_path):
    folder = str(tmp_path / "clients")
    call_module("litellm_clients", models={"x": ["a"], "y": ["a"]}, directory=folder)
    keys = client_keys.read_keys(folder, ["x", "y"])
    answer = call_module("litellm_clients", models={"y": ["a"]}, directory=folder)
    assert (answer["changed"], answer["made"], answer["removed"]) == (False, [], [])
    assert client_keys.read_keys(folder, ["x", "y"]) == keys
    assert call_module("litellm_clients", check_mode=True, models={"y": ["a"]}, directory=folder, prune=True)["removed"] == ["x"]
    assert client_keys.present_names(folder) == ["x", "y"]
    assert call_module("litellm_clients", models={"y": ["a"], "z": ["a"]}, directory=folder, prune=True)["removed"] == ["x"]
    assert client_keys.read_keys(folder, client_keys.present_names(folder)) == {"y": keys["y"]}


@pytest.mark.parametrize("kind", ["link", "file"])
def test_nothing_is_written_through_what_lies_in_the_way(tmp_path, kind):
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "x.key"
    elsewhere.write_text("mine")
    planted = tmp_path / "x.key.new"
    planted.symlink_to(elsewhere) if kind == "link" else planted.hardlink_to(elsewhere)
    client_keys.write_private(str(path), "secret")
    assert (path.read_text(), elsewhere.read_text(), planted.exists()) == ("secret", "mine", False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
