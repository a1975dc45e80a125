"""Trees of releases: what moves the link, what never does, and what is kept."""

from __future__ import annotations

import os
import shutil

import pytest

from plugins.module_utils import release_tree
from plugins.module_utils.release_archive import ReleaseError
from tests.release_archives import pack, program, sha256


@pytest.fixture
def shelf(tmp_path):
    """Makes a release on a mirror in the file system; returns what is wanted of it."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()

    def release(version, items=None, told=True, **changes):
        file = f"tool-{version}.tgz"
        archive = pack(mirror / file, items or [program(f"tool {version}"), ("lib/x", "file", version)])
        digest = sha256(archive)
        (mirror / f"{version}.txt").write_text(f"{digest}  ./{file}\n")
        values = {
            "directory": str(tmp_path / "place"),
            "version": version,
            "archives": (release_tree.Archive(file, f"file://{archive}", digest if told else None),),
            "checksums_url": f"file://{mirror}/{version}.txt",
            "program": release_tree.Program("bin/tool", ("--version",), {}, version),
            "strip_components": 0,
            "kept": 2,
        }
        return release_tree.Wanted(**{**values, **changes})

    return release


def install(asked):
    release_tree.check(asked)
    wanted = release_tree.resolve(asked)
    found = release_tree.observe(wanted)
    release_tree.act(wanted, found)
    return found


def state(tmp_path):
    """The version behind the link, and all trees' versions."""
    place = tmp_path / "place"
    link = os.readlink(place / "current").split("/")[1].rpartition("-")[0] if (place / "current").is_symlink() else None
    return link, sorted(name.rpartition("-")[0] for name in release_tree.entries(str(place)))


def test_a_release_is_installed_and_then_nothing_is_left_to_do(tmp_path, shelf):
    wanted = shelf("1.0")
    assert not install(wanted).as_wanted(wanted)
    assert release_tree.observe(wanted).as_wanted(wanted)
    assert state(tmp_path) == ("1.0", ["1.0"])
    assert sorted(os.listdir(tmp_path / "place")) == ["current", "versions"]
    assert (tmp_path / "place/current/lib/x").read_text() == "1.0"


def test_versions_come_and_go_the_way_back_needs_no_mirror(tmp_path, shelf):
    for version in ("1.0", "1.1"):
        install(shelf(version))
    back = shelf("1.0", told=False)
    shutil.rmtree(tmp_path / "mirror")
    assert install(back).complete
    assert state(tmp_path) == ("1.0", ["1.0", "1.1"])


@pytest.mark.parametrize(
    ("kept", "left"), [(1, ["1.2"]), (2, ["1.0", "1.2"]), (3, ["1.0", "1.1", "1.2"]), (9, ["1.0", "1.1", "1.2"])]
)
def test_those_linked_last_are_kept(tmp_path, shelf, kept, left):
    # 1.0 was linked after 1.1, so it is the way back from 1.2.
    for version in ("1.0", "1.1", "1.0"):
        install(shelf(version))
    install(shelf("1.2", kept=kept))
    assert state(tmp_path) == ("1.2", left)


BROKEN = {
    "another checksum": (
        lambda wanted: wanted._replace(archives=(wanted.archives[0]._replace(sha256="0" * 64),)),
        "expected 000",
    ),
    "program missing": (
        lambda wanted: wanted._replace(program=wanted.program._replace(path="bin/other")),
        "got no program bin/other",
    ),
    "program is a library": (
        lambda wanted: wanted._replace(program=wanted.program._replace(path="lib/x")),
        r"got no program lib/x \(the archives hold bin, lib\)",
    ),
    "program of another version": (
        lambda wanted: wanted._replace(program=wanted.program._replace(says="3.0")),
        "said 'tool 2.0'; expected 0 and",
    ),
    "program of a version before it": (
        lambda wanted: wanted._replace(program=wanted.program._replace(says="2")),
        "said 'tool 2.0'; expected 0 and '2'",
    ),
    "everything stripped": (
        lambda wanted: wanted._replace(strip_components=5),
        r"got no program bin/tool \(the archives hold nothing\)",
    ),
}


@pytest.mark.parametrize(("change", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_broken_leaves_everything_as_it_was(tmp_path, shelf, change, words):
    install(shelf("1.0"))
    with pytest.raises(ReleaseError, match=words):
        install(change(shelf("2.0")))
    assert state(tmp_path) == ("1.0", ["1.0"])
    assert release_tree.linked(str(tmp_path / "place")) == shelf("1.0").name


WORDS = [
    ("ollama version is 0.33.0", "0.33.0", True),
    ("Warning: could not connect\nWarning: client version is v0.33.0.\n", "0.33.0", True),
    ("version: 10488 (abcdef0)", "version", True),
    ("ollama version is 0.33.0-rc2", "0.33.0", False),
    ("ollama version is 0.33.0.1", "0.33.0", False),
    ("ollama version is 0.33.01", "0.33.0", False),
    ("ollama version is 10.33.0", "0.33.0", False),
    ("ollama version is 0x33.0", "0.33.0", False),
]


@pytest.mark.parametrize(("said", "word", "held"), WORDS, ids=[case[0] for case in WORDS])
def test_only_a_whole_word_is_the_version(said, word, held):
    assert release_tree.holds_word(said, word) is held


PROGRAMS = {"failing": program("tool 2.0", 3), "no program": ("bin/tool", "program", "\x7fELF of elsewhere")}


@pytest.mark.parametrize("item", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_a_program_that_does_not_run_here_is_refused(tmp_path, shelf, item):
    install(shelf("1.0"))
    with pytest.raises(ReleaseError, match="bin/tool --version: "):
        install(shelf("2.0", [item]))
    assert state(tmp_path) == ("1.0", ["1.0"])


def test_a_damaged_archive_with_the_checksum_of_the_damage_is_refused(tmp_path, shelf):
    install(shelf("1.0"))
    wanted = shelf("2.0")
    archive = tmp_path / "mirror/tool-2.0.tgz"
    archive.write_bytes(archive.read_bytes()[:-10])
    with pytest.raises(ReleaseError, match="cannot be read to its end"):
        install(wanted._replace(archives=(wanted.archives[0]._replace(sha256=sha256(archive)),)))
    assert state(tmp_path) == ("1.0", ["1.0"])


def damages():
    yield "a file gone", lambda tree: (tree / "lib/x").unlink()
    yield "a file cut", lambda tree: (tree / "lib/x").write_text("")
    yield "no marker", lambda tree: (tree / release_tree.MARKER).unlink()
    yield "a broken marker", lambda tree: (tree / release_tree.MARKER).write_text("{")


@pytest.mark.parametrize("damage", [case[1] for case in damages()], ids=[case[0] for case in damages()])
def test_a_damaged_tree_is_made_again(tmp_path, shelf, damage):
    install(shelf("1.0"))
    damage(tmp_path / "place/current")
    assert not install(shelf("1.0")).complete
    assert (tmp_path / "place/current/lib/x").read_text() == "1.0"
    assert state(tmp_path) == ("1.0", ["1.0"])


def test_what_a_program_writes_beside_itself_changes_nothing(tmp_path, shelf):
    install(shelf("1.0"))
    (tmp_path / "place/current/lib/cache").write_text("x")
    assert release_tree.observe(shelf("1.0")).as_wanted(shelf("1.0"))


def test_what_a_killed_run_left_is_cleared_away(tmp_path, shelf):
    install(shelf("1.0"))
    (tmp_path / "place/versions/1.1-abc.building").mkdir()
    (tmp_path / "place/archives").mkdir()
    assert not release_tree.observe(shelf("1.0")).as_wanted(shelf("1.0"))
    install(shelf("1.0"))
    assert (sorted(os.listdir(tmp_path / "place")), state(tmp_path)) == (["current", "versions"], ("1.0", ["1.0"]))


def test_archives_lie_over_each_other_and_decide_the_name(tmp_path, shelf):
    first, second = shelf("1.0"), shelf("1.0-more", [("lib/more", "file", "m"), ("lib/x", "file", "over")])
    both = first._replace(archives=first.archives + second.archives)
    assert len({first.name, both.name, both._replace(archives=both.archives[::-1]).name}) == 3
    install(both)
    assert (tmp_path / "place/current/lib/x").read_text() == "over"


def test_archives_that_were_brought_are_taken_where_they_lie(tmp_path, shelf):
    wanted = shelf("1.0")
    brought = wanted._replace(archives=(wanted.archives[0]._replace(url=None),))
    with pytest.raises(ReleaseError, match=r"tool-1.0.tgz: got sha256 \(no file\)"):
        install(brought)
    (tmp_path / "place/archives").mkdir(exist_ok=True)
    shutil.copy(tmp_path / "mirror/tool-1.0.tgz", brought.place(brought.archives[0]))
    install(brought)
    assert state(tmp_path) == ("1.0", ["1.0"])


def test_the_digest_is_looked_up_where_none_is_given(shelf):
    assert release_tree.resolve(shelf("1.0", told=False)).name == shelf("1.0").name


def unknown(wanted):
    return wanted._replace(archives=(release_tree.Archive("other.tgz", "file:///x", None),))


UNRESOLVED = {
    "not in the list": (unknown, r"other\.tgz is not in the list of checksums; expected one of tool-1\.0\.tgz; correct its name"),
    "no list": (lambda wanted: unknown(wanted)._replace(checksums_url=None), r"got no sha256 for other\.tgz and no list"),
}


@pytest.mark.parametrize(("change", "words"), UNRESOLVED.values(), ids=UNRESOLVED.keys())
def test_what_has_no_digest_is_not_fetched(shelf, change, words):
    with pytest.raises(ReleaseError, match=words):
        release_tree.resolve(change(shelf("1.0")))


REFUSED = [
    ({"directory": "relative"}, "directory: got relative; expected an absolute path"),
    ({"version": "../x"}, r"version: got '\.\./x'"),
    ({"version": ""}, "version: got ''"),
    ({"archives": ()}, "archives: got none"),
    ({"archives": (release_tree.Archive("x.tar", None, None),)}, r"x\.tar: got an archive of this name"),
    ({"archives": (release_tree.Archive("a/x.tgz", None, None),)}, r"archives: got 'a/x\.tgz'"),
    ({"archives": (release_tree.Archive("x.tgz", None, "12"),)}, "got the sha256 '12'; expected 64 digits"),
    ({"program": release_tree.Program("../sh", (), {}, "")}, r"program: got '\.\./sh'"),
    ({"program": release_tree.Program("/bin/sh", (), {}, "")}, "program: got '/bin/sh'"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED, ids=[case[1][:20] for case in REFUSED])
def test_what_cannot_be_asked_for_is_refused(shelf, change, words):
    with pytest.raises(ReleaseError, match=words):
        release_tree.check(shelf("1.0")._replace(**change))


def test_somebody_elses_things_stay(tmp_path, shelf):
    place = tmp_path / "place"
    (place / "current").mkdir(parents=True)
    with pytest.raises(ReleaseError, match="expected a link of ours or nothing; move it away"):
        release_tree.check(shelf("1.0"))
    (place / "current").rmdir()
    install(shelf("1.0"))
    (place / "models").mkdir()
    (place / "versions/mine").mkdir()
    assert release_tree.remains(str(place)) == ["current", f"versions/{shelf('1.0').name}"]
    release_tree.remove_all(str(place))
    assert (sorted(os.listdir(place)), os.listdir(place / "versions")) == (["models", "versions"], ["mine"])


def test_the_removal_leaves_no_empty_folder(tmp_path, shelf):
    install(shelf("1.0"))
    release_tree.remove_all(str(tmp_path / "place"))
    assert not (tmp_path / "place").exists()
    assert release_tree.remains(str(tmp_path / "place")) == []
