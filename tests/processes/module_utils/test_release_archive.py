"""Archives are unpacked into their folder and nowhere else, whoever packed them."""

from __future__ import annotations

import os
import shutil
import stat

import pytest

from plugins.module_utils import release_archive
from plugins.module_utils.release_archive import ReleaseError, kind_of, unpack
from tests.release_archives import pack

FILES = ["a.tgz", "a.tar.gz", "a.tar.zst", "a.zip"]
TREE = [
    ("./", "directory", ""),
    ("./bin", "directory", ""),
    ("./bin/tool", "program", "run me"),
    ("./lib/x/libtool.so.1", "file", "library"),
    ("./lib/x/libtool.so", "symbolic", "libtool.so.1"),
    ("./lib/above", "symbolic", "../bin/tool"),
]


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


def needs_zstd(file):
    if file.endswith(".zst") and not shutil.which("zstd"):
        pytest.skip("zstd is not on this machine")


def contents(tree):
    """Path -> the text of a file, or the target of a link."""
    found = [path for path in sorted(tree.rglob("*")) if path.is_symlink() or path.is_file()]
    return {str(path.relative_to(tree)): os.readlink(path) if path.is_symlink() else path.read_text() for path in found}


@pytest.mark.parametrize("file", FILES)
def test_every_kind_is_unpacked(tmp_path, tree, file):
    needs_zstd(file)
    unpack(str(pack(tmp_path / file, TREE)), str(tree))
    assert contents(tree) == {
        "bin/tool": "run me",
        "lib/x/libtool.so.1": "library",
        "lib/x/libtool.so": "libtool.so.1",
        "lib/above": "../bin/tool",
    }


@pytest.mark.parametrize("file", FILES)
def test_rights_and_users_are_ours(tmp_path, tree, file):
    needs_zstd(file)
    unpack(str(pack(tmp_path / file, TREE)), str(tree))
    modes = {name: stat.S_IMODE((tree / name).stat().st_mode) for name in ("bin", "bin/tool", "lib/x/libtool.so.1")}
    assert modes == {"bin": 0o755, "bin/tool": 0o755, "lib/x/libtool.so.1": 0o644}
    assert (tree / "bin/tool").stat().st_uid == os.geteuid()


def test_parts_are_taken_off_names_and_off_the_targets_of_hard_links(tmp_path, tree):
    items = [
        ("v1/readme", "file", "r"),
        ("v1/build/bin/tool", "program", "t"),
        ("v1/build/bin/same", "hard", "v1/build/bin/tool"),
    ]
    unpack(str(pack(tmp_path / "a.tgz", items)), str(tree), 2)
    assert contents(tree) == {"bin/tool": "t", "bin/same": "t"}


def test_a_later_archive_lies_over_an_earlier_one(tmp_path, tree):
    unpack(str(pack(tmp_path / "a.tgz", [("x", "file", "1"), ("y", "symbolic", "x")])), str(tree))
    unpack(str(pack(tmp_path / "b.tgz", [("y", "file", "2"), ("z", "file", "3")])), str(tree))
    assert contents(tree) == {"x": "1", "y": "2", "z": "3"}


# (what is in the archive, words of the refusal)
DISHONEST = {
    "absolute name": ([("/etc/passwd", "file", "x")], "got the entry '/etc/passwd'; expected a path below"),
    "climbing name": ([("a/../../x", "file", "x")], "got the entry 'a/../../x'"),
    "absolute link": ([("x", "symbolic", "/etc")], "got the link 'x' to '/etc'; expected one within"),
    "climbing link": ([("a/x", "symbolic", "../../x")], "got the link 'a/x' to '../../x'"),
    "file through a link": (
        [("d/e", "directory", ""), ("d/e/up", "symbolic", "../.."), ("out", "symbolic", "d/e/up/.."), ("out/x", "file", "x")],
        "got the link 'out' to 'd/e/up/..'",
    ),
    "link that a later link leads out": (
        [("early", "symbolic", "late/.."), ("d", "directory", ""), ("late", "symbolic", "d/..")],
        "the link 'early' leads out of it",
    ),
    "hard link out": ([("x", "hard", "../../etc/passwd")], "got the entry '../../etc/passwd'"),
    "hard link to nothing": ([("x", "hard", "gone")], "got 'x' as another name of 'gone'"),
    "pipe": ([("x", "other", "")], "got 'x', which is no file, folder or link"),
    "folder as a file": ([("x/y", "file", "1"), ("x", "file", "2")], "got 'x' as a folder and as a file"),
}


@pytest.mark.parametrize(("items", "words"), DISHONEST.values(), ids=DISHONEST.keys())
def test_nothing_leaves_the_folder(tmp_path, tree, items, words):
    before = sorted(path.name for path in tmp_path.iterdir())
    archive = pack(tmp_path / "a.tgz", items)
    with pytest.raises(ReleaseError, match=words.replace(".", r"\.")):
        unpack(str(archive), str(tree))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "a.tgz"])


@pytest.mark.parametrize(("name", "kind", "text"), [("x", "symbolic", "/etc"), ("../x", "file", "x"), ("x", "other", "")])
def test_nor_out_of_a_zip(tmp_path, tree, name, kind, text):
    with pytest.raises(ReleaseError):
        unpack(str(pack(tmp_path / "a.zip", [(name, kind, text)])), str(tree))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "tree"]


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.99], ids=str)
@pytest.mark.parametrize("file", FILES)
def test_a_cut_archive_is_refused(tmp_path, tree, file, kept):
    needs_zstd(file)
    items = [(f"f{number}", "file", os.urandom(2000).hex()) for number in range(20)]
    archive = pack(tmp_path / file, items)
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * kept)])
    with pytest.raises(ReleaseError, match="fetch it again"):
        unpack(str(archive), str(tree))


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_archive_is_refused(tmp_path, tree, file):
    needs_zstd(file)
    archive = pack(tmp_path / file, [("f", "file", os.urandom(5000).hex())])
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(ReleaseError):
        unpack(str(archive), str(tree))


def test_the_name_says_the_kind():
    assert [kind_of(name) for name in ("x-linux.tar.zst", "x.tgz", "x.tar.gz", "x.zip")] == ["zstd", "gzip", "gzip", "zip"]
    with pytest.raises(ReleaseError, match=r"x\.exe: got an archive of this name; expected one that ends with \.tar\.zst"):
        kind_of("x.exe")


def test_without_zstd_its_archives_are_refused(tmp_path, tree, monkeypatch):
    monkeypatch.setattr(release_archive, "zstd_program", lambda: None)
    monkeypatch.setattr(release_archive, "python_zstd", lambda: None)
    assert [release_archive.can_unpack(name) for name in ("a.tar.zst", "a.tgz")] == [False, True]
    (tmp_path / "a.tar.zst").write_bytes(b"")
    with pytest.raises(ReleaseError, match="install the package zstd"):
        unpack(str(tmp_path / "a.tar.zst"), str(tree))
