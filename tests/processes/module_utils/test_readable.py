"""Whether a user may read a file: the kernel's answer, and the words for it."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest

from plugins.module_utils.readable import NOBODY, Reader, UnknownGroup, closed_part, describe, find_reader

STRANGER = Reader("stranger", NOBODY, NOBODY, ())
MEMBER = Reader("member", NOBODY, NOBODY, (4711,))
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask for another user")


@pytest.fixture
def shelf():
    """<folder>/models/model.gguf, open to all; pytest's own folders are not."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder).resolve() / "models"
        models.parent.chmod(0o755)
        models.mkdir(mode=0o755)
        (models / "model.gguf").write_bytes(b"GGUF")
        (models / "model.gguf").chmod(0o644)
        yield models


# (what is closed, its mode, its group, who reads, whether that is refused)
CASES = [
    ("", None, 0, STRANGER, False),
    (".", 0o750, 4711, STRANGER, True),
    (".", 0o750, 4711, MEMBER, False),
    ("model.gguf", 0o640, 4711, STRANGER, True),
    ("model.gguf", 0o640, 4711, MEMBER, False),
    ("model.gguf", 0o600, 4711, MEMBER, True),
]


@root_only
@pytest.mark.parametrize(("part", "mode", "group", "reader", "refused"), CASES)
def test_the_kernel_is_asked(shelf, part, mode, group, reader, refused):
    if mode is not None:
        os.chown(shelf / part, 0, group)
        (shelf / part).chmod(mode)
    assert closed_part(str(shelf / "model.gguf"), reader) == (str((shelf / part).resolve()) if refused else None)


@root_only
def test_a_link_is_followed(shelf):
    shelf.chmod(0o700)
    (shelf.parent / "link.gguf").symlink_to(shelf / "model.gguf")
    assert closed_part(str(shelf.parent / "link.gguf"), STRANGER) == str(shelf)


@root_only
def test_the_folder_of_a_link_is_closed_as_well(shelf):
    links = shelf.parent / "links"
    links.mkdir(mode=0o700)
    (links / "link.gguf").symlink_to(shelf / "model.gguf")
    assert closed_part(str(links / "link.gguf"), STRANGER) == str(links)
    links.chmod(0o755)
    assert closed_part(str(links / "link.gguf"), STRANGER) is None


def test_the_own_rights_of_anybody_else(shelf, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert closed_part(str(shelf / "model.gguf"), STRANGER) is None
    assert closed_part(str(shelf / "gone.gguf"), STRANGER) == str(shelf / "gone.gguf")


@pytest.mark.parametrize(
    ("part", "mode", "words"),
    [(".", 0o750, "may not enter .* mode 0750.*open the folder"), ("model.gguf", 0o600, "may not read .* mode 0600.*the file")],
)
def test_the_words_name_what_is_closed(shelf, part, mode, words):
    (shelf / part).chmod(mode)
    text = describe(str(shelf / part), STRANGER)
    assert text.startswith("stranger ")
    assert re.search(words, text)


def test_a_user_that_is_not_there_yet_has_no_right_of_its_own():
    assert find_reader("homelab-nobody-has-this-name") == Reader("homelab-nobody-has-this-name", NOBODY, NOBODY, ())


def test_a_user_has_its_own_groups_and_those_given():
    reader = find_reader("root", ["daemon"])
    assert (reader.uid, reader.gid) == (0, 0)
    assert {0, 1} <= set(reader.groups)


def test_a_group_that_is_not_there_is_named():
    with pytest.raises(UnknownGroup, match="no group homelab-none"):
        find_reader("root", ["homelab-none"])
