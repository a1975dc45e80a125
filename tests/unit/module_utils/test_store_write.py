"""What is written into a store: whole or not at all, with its owner, and never more than the disk has room for."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
import time
from types import SimpleNamespace

import pytest

from plugins.module_utils import store_write
from plugins.module_utils.ollama_manifest import Layer, parse_manifest
from plugins.module_utils.ollama_names import parse_model_name
from plugins.module_utils.store_partials import PARTIAL, is_left
from plugins.module_utils.store_write import MARGIN_BYTES, Store, all_layers
from plugins.module_utils.transfer_progress import ModelProblem
from tests.fake_ollama import install

DATA = b"weights" * 100
LAYER = Layer("model", "sha256:" + hashlib.sha256(DATA).hexdigest(), len(DATA))
OTHER = Layer("params", "sha256:" + hashlib.sha256(b"{}").hexdigest(), 2)


def blob(store, layer):
    return store / "blobs" / layer.digest.replace(":", "-")


def kept(store, data, layer):
    with store.partial(layer) as partial:
        partial.append(data)
        store.keep(layer, partial)


def test_a_blob_gets_its_name_when_it_is_whole(tmp_path):
    store = Store(str(tmp_path / "models"))
    with store.partial(LAYER) as partial:
        partial.append(DATA[:10])
    assert not store.has(LAYER)
    assert (store.own_bytes(LAYER), sorted(path.name for path in (tmp_path / "models/blobs").iterdir())) == (
        10,
        [LAYER.digest.replace(":", "-") + PARTIAL],
    )
    with store.partial(LAYER) as partial:
        assert (partial.size_bytes, partial.busy) == (10, False)
        partial.append(DATA[10:])
        assert f"sha256:{partial.sha256}" == LAYER.digest
        store.keep(LAYER, partial)
    path = blob(tmp_path / "models", LAYER)
    assert (path.read_bytes(), path.stat().st_mode & 0o777, store.has(LAYER)) == (DATA, 0o644, True)
    assert len(list(path.parent.iterdir())) == 1


def test_a_blob_of_another_size_is_missing(tmp_path):
    store = Store(str(tmp_path))
    kept(store, DATA[:-1], LAYER)
    assert not store.has(LAYER)


def test_what_another_process_has_is_busy(tmp_path):
    store = Store(str(tmp_path))
    with store.partial(LAYER) as first, store.partial(LAYER) as second:
        assert (first.busy, second.busy) == (False, True)
    with store.partial(LAYER) as third:
        assert not third.busy


def test_what_was_finished_meanwhile_is_busy_once(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    locked = []

    def rename_first(number, flags):
        if not locked:
            locked.append(number)
            os.replace(str(blob(tmp_path, LAYER)) + PARTIAL, blob(tmp_path, LAYER))

    monkeypatch.setattr(store_write.fcntl, "flock", rename_first)
    with store.partial(LAYER) as late:
        assert late.busy


@pytest.mark.parametrize("kind", ["symbolic link", "hard link"])
def test_links_lead_nowhere_else(tmp_path, kind):
    store = Store(str(tmp_path / "models"))
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = tmp_path / "models/blobs" / (LAYER.digest.replace(":", "-") + PARTIAL)
    path.parent.mkdir(parents=True)
    (os.symlink if kind == "symbolic link" else os.link)(victim, path)
    with pytest.raises(ModelProblem, match=r"cannot be written|is no plain file of its own"), store.partial(LAYER) as partial:
        partial.append(DATA)
    assert victim.read_text() == "precious"


def test_the_manifest_appears_as_a_whole(tmp_path):
    store = Store(str(tmp_path))
    name = parse_model_name("team/model:7b")
    store.write_manifest(name, b"one")
    store.write_manifest(parse_model_name("TEAM/model:7B"), b"two")
    path = tmp_path / "manifests/registry.ollama.ai/team/model/7b"
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o644)
    assert [entry.name for entry in tmp_path.iterdir()] == ["manifests"]


def test_the_owner_is_set_on_everything_new(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    nobody = pwd.getpwnam("nobody")
    store = Store(str(tmp_path / "models"), "nobody:daemon")
    kept(store, DATA, LAYER)
    store.write_manifest(parse_model_name("m"), b"{}")
    found = {(path.stat().st_uid, path.stat().st_gid) for path in [tmp_path / "models", *(tmp_path / "models").rglob("*")]}
    assert found == {(nobody.pw_uid, store_write.grp.getgrnam("daemon").gr_gid)}


@pytest.mark.parametrize(
    ("owner", "message"),
    [
        ("no-such-user", "got models_owner 'no-such-user', expected a user"),
        ("root:no-such-group", "expected a user, or user:group"),
    ],
)
def test_an_owner_that_is_not_there(tmp_path, owner, message):
    with pytest.raises(ModelProblem, match=message):
        Store(str(tmp_path), owner)


def test_only_root_gives_files_to_others(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(ModelProblem, match="which takes root: run with become, or as root"):
        Store(str(tmp_path), "root")


@pytest.mark.parametrize(
    ("free_bytes", "refused"),
    [(MARGIN_BYTES + len(DATA) + 2, False), (MARGIN_BYTES + len(DATA) + 1, True), (0, True)],
    ids=["enough", "a byte too little", "full"],
)
def test_the_disk_is_checked_with_a_margin(tmp_path, monkeypatch, free_bytes, refused):
    store = Store(str(tmp_path / "not" / "there"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free_bytes, asked=path))
    if not refused:
        store.check_space("m", [LAYER, OTHER], True)
        return
    with pytest.raises(ModelProblem, match=r"MiB free at .*there \(file system of .*expected .* nothing was fetched"):
        store.check_space("m", [LAYER, OTHER], True)


def test_nothing_to_fetch_needs_no_room(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=0))
    Store(str(tmp_path)).check_space("m", [], True)


def test_what_an_interrupted_pull_has_is_counted(tmp_path):
    store = Store(str(tmp_path))
    base = blob(tmp_path, LAYER)
    base.parent.mkdir()
    for number, completed in enumerate((100, 50)):
        base.with_name(f"{base.name}-partial-{number}").write_text(json.dumps({"N": number, "Completed": completed}))
    base.with_name(f"{base.name}-partial-2").write_text("damaged")
    base.with_name(f"{base.name}-partial").write_bytes(b"x" * 8192)
    assert store.pulled_bytes(LAYER) == 150
    assert (store.pulled_bytes(OTHER), store.own_bytes(OTHER)) == (0, 0)


def begun(store, layer, suffix, age_s=0.0):
    """An unfinished file of a blob, 8 KiB on the disk, last written so long ago."""
    path = blob(store, layer)
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.with_name(path.name + suffix)
    path.write_bytes(b"x" * 8192)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


LARGE = Layer("model", LAYER.digest, 16384)
# Who has begun it, when it was last written, whether the engine pulls now -> whether there is room, whether the file stays
BEGUN = [
    (PARTIAL, 0, False, True, True),
    ("-partial", 0, True, True, True),
    ("-partial", 3600, False, True, False),
    (PARTIAL, 3600, True, True, False),
    # Somebody may be writing it.
    ("-partial", 0, False, False, True),
    (PARTIAL, 0, True, False, True),
]


@pytest.mark.parametrize(("suffix", "age_s", "by_engine", "fits", "stays"), BEGUN)
def test_what_another_way_of_fetching_has_begun_is_only_room(tmp_path, monkeypatch, suffix, age_s, by_engine, fits, stays):
    path, store = begun(tmp_path, LARGE, suffix, age_s), Store(str(tmp_path))

    def usage(_path):
        return SimpleNamespace(free=MARGIN_BYTES + 8192 * (1 if path.exists() else 2))

    monkeypatch.setattr(shutil, "disk_usage", usage)
    for ask in (store.check_space, store.make_room):
        if fits:
            ask("m", [LARGE], by_engine)
        else:
            with pytest.raises(ModelProblem, match="nothing was fetched"):
                ask("m", [LARGE], by_engine)
        assert path.exists() or ask == store.make_room
    assert path.exists() == stays


def test_a_locked_file_is_nobodys_room(tmp_path):
    path, store = begun(tmp_path, LARGE, PARTIAL, 3600), Store(str(tmp_path))
    assert is_left([str(path)])
    with store.partial(LARGE):
        os.utime(path, (0, 0))
        assert not is_left([str(path)])
    assert is_left([str(path)])


def test_what_is_cut_short_is_dropped(tmp_path):
    store = Store(str(tmp_path))
    kept(store, DATA[:-1], LAYER)
    kept(store, b"{}", OTHER)
    store.drop_broken([LAYER, OTHER])
    assert (blob(tmp_path, LAYER).exists(), store.has(OTHER)) == (False, True)


def test_left_over_is_what_no_model_has_and_nobody_writes(tmp_path):
    install(tmp_path, "one", b"weights")
    old = [begun(tmp_path, LAYER, suffix, 7200) for suffix in ("", "-partial", "-partial-0", PARTIAL)]
    begun(tmp_path, OTHER, "", 60)
    # A part that is whole is not written any more while others are.
    begun(tmp_path, OTHER, "-partial-0", 7200)
    begun(tmp_path, OTHER, "-partial", 60)
    (tmp_path / "blobs" / "notes.txt").write_text("mine")
    for path in (tmp_path / "blobs").iterdir():
        if path not in old and LAYER.digest.replace(":", "-") not in path.name and OTHER.digest[7:] not in path.name:
            os.utime(path, (0, 0))
    store = Store(str(tmp_path))
    assert store.left_over(3600) == sorted(map(str, old))
    (tmp_path / "manifests/registry.ollama.ai/library/one/damaged").write_text("{")
    assert store.left_over(3600) == []
    assert Store(str(tmp_path / "nothing")).left_over(0) == []


def test_only_blobs_that_nobody_names_are_removed(tmp_path):
    install(tmp_path, "one", b"shared", params=b"1")
    install(tmp_path, "two", b"shared", params=b"2")
    store = Store(str(tmp_path))
    old = all_layers(parse_manifest((tmp_path / "manifests/registry.ollama.ai/library/one/latest").read_bytes(), "one"))
    (tmp_path / "manifests/registry.ollama.ai/library/one/latest").unlink()
    removed = store.remove_unused(layer.digest for layer in old)
    assert removed == ["sha256:" + hashlib.sha256(b"1").hexdigest()]
    assert sorted(path.read_bytes() for path in (tmp_path / "blobs").iterdir()) == [b"2", b"shared"]


def test_nothing_is_removed_while_a_manifest_cannot_be_read(tmp_path):
    install(tmp_path, "one", b"weights")
    (tmp_path / "manifests/registry.ollama.ai/library/one/damaged").write_text("{")
    store = Store(str(tmp_path))
    assert store.remove_unused(["sha256:" + hashlib.sha256(b"weights").hexdigest()]) == []


def test_partials_go_when_the_blob_is_there(tmp_path):
    install(tmp_path, "one", DATA)
    manifest = parse_manifest((tmp_path / "manifests/registry.ollama.ai/library/one/latest").read_bytes(), "one")
    partials = [begun(tmp_path, LAYER, suffix) for suffix in (PARTIAL, "-partial", "-partial-0")]
    Store(str(tmp_path)).forget_partials(manifest)
    assert not any(path.exists() for path in partials)
