# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of a program side by side, each in a tree of its own, and a symbolic link to the one that is used.

A tree is unpacked beside its place, its program is tried, its marker is written last, and only then the link moves. Whatever
fails before that leaves the link, and what runs behind it, as they were.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from typing import Any, NamedTuple

from .release_archive import ReleaseError, kind_of, unpack
from .release_fetch import fetch, read_checksums, sha256_of

MARKER = ".release.json"
BUILDING = ".building"
REPLACED = ".replaced"
LINK = "current"
TREES = "versions"
ARCHIVES = "archives"
# Names that mean the same in a path, a link and a unit file.
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
NAME_DIGITS = 12
TRY_TIMEOUT_S = 120
OUTPUT_CHARACTERS = 600


class Archive(NamedTuple):
    """One archive of a release; without ``url`` it is put into place by others, ``sha256`` is None while it is not known."""

    file: str
    url: str | None
    sha256: str | None


class Program(NamedTuple):
    """What a tree must hold and run: the path in the tree, arguments, variables, and the word that its output must hold."""

    path: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    says: str


class Wanted(NamedTuple):
    """The release that the link shall lead to. ``uid`` and ``gid`` own its files; None leaves them to who unpacks."""

    directory: str
    version: str
    archives: tuple[Archive, ...]
    checksums_url: str | None
    program: Program
    strip_components: int
    kept: int
    owner: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """Name of the tree: the version and what stands for the contents of its archives, in their order."""
        told = "\n".join(archive.sha256 or "" for archive in self.archives)
        return f"{self.version}-{hashlib.sha256(told.encode()).hexdigest()[:NAME_DIGITS]}"

    @property
    def tree(self) -> str:
        return os.path.join(self.directory, TREES, self.name)

    def place(self, archive: Archive) -> str:
        """Where an archive lies until it is unpacked."""
        return os.path.join(self.directory, ARCHIVES, f"{(archive.sha256 or '')[:NAME_DIGITS]}-{archive.file}")


class Found(NamedTuple):
    """What is there: whether the wanted tree is complete, the linked one's name, trees that are too many, leftovers."""

    complete: bool
    linked: str | None
    surplus: tuple[str, ...]
    unfinished: tuple[str, ...]

    def as_wanted(self, wanted: Wanted) -> bool:
        return self.complete and self.linked == wanted.name and not self.surplus and not self.unfinished


def check(wanted: Wanted) -> None:
    """Raises ReleaseError for a release that cannot be asked for."""
    if not os.path.isabs(wanted.directory):
        raise ReleaseError(f"directory: got {wanted.directory}; expected an absolute path")
    if not wanted.archives:
        raise ReleaseError("archives: got none; expected at least one archive of the release")
    for word, value in [("version", wanted.version), *(("archives", archive.file) for archive in wanted.archives)]:
        if not PLAIN.fullmatch(value):
            raise ReleaseError(f"{word}: got {value!r}; expected letters, digits, dot, dash, plus and underscore")
    for archive in wanted.archives:
        kind_of(archive.file)
        if archive.sha256 is not None and not SHA256.fullmatch(archive.sha256):
            raise ReleaseError(f"archives: {archive.file}: got the sha256 {archive.sha256!r}; expected 64 digits of 0-9 and a-f")
    parts = wanted.program.path.split("/")
    if not all(parts) or ".." in parts:
        raise ReleaseError(f"program: got {wanted.program.path!r}; expected a path below the tree, such as bin/program")
    link = os.path.join(wanted.directory, LINK)
    if os.path.lexists(link) and not os.path.islink(link):
        raise ReleaseError(f"{link}: got a file or folder; expected a link of ours or nothing; move it away")


def resolve(wanted: Wanted) -> Wanted:
    """The same release with every sha256 known: a given one, that of a complete tree of this version, or the list's.

    A version that stands complete is asked of nobody again: release archives do not change. Raises ReleaseError.
    """
    if all(archive.sha256 for archive in wanted.archives):
        return wanted
    for name in trees(wanted.directory):
        told = read_marker(os.path.join(wanted.directory, TREES, name)).get("archives") or {}
        known = with_checksums(wanted, told)
        if known.name == name and list(told) == [archive.file for archive in wanted.archives] and is_complete(known):
            return known
    if wanted.checksums_url is None:
        missing = ", ".join(archive.file for archive in wanted.archives if not archive.sha256)
        raise ReleaseError(f"archives: got no sha256 for {missing} and no list of checksums; name one of them")
    listed = read_checksums(wanted.checksums_url)
    known = with_checksums(wanted, listed)
    for archive in known.archives:
        if not archive.sha256:
            names = ", ".join(sorted(listed)[:20])
            raise ReleaseError(
                f"archives: {archive.file} is not in the list of checksums; expected one of {names}; correct its name"
            )
    return known


def with_checksums(wanted: Wanted, known: dict[str, str]) -> Wanted:
    """The release with what ``known`` says of archives that have no sha256 yet."""
    archives = (archive._replace(sha256=archive.sha256 or known.get(archive.file)) for archive in wanted.archives)
    return wanted._replace(archives=tuple(archives))


def read_marker(tree: str) -> dict[str, Any]:
    """What a tree says of itself; nothing when it has no readable marker."""
    try:
        with open(os.path.join(tree, MARKER), encoding="utf-8") as file:
            told = json.load(file)
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def is_complete(wanted: Wanted) -> bool:
    """Whether the tree was made from these archives and still has every file in its size."""
    told = read_marker(wanted.tree)
    same = told.get("strip_components") == wanted.strip_components and told.get("archives") == digests(wanted)
    there = files_of(wanted.tree) if same else {}
    return same and all(there.get(path) == size_bytes for path, size_bytes in told.get("files", {}).items())


def digests(wanted: Wanted) -> dict[str, str | None]:
    return {archive.file: archive.sha256 for archive in wanted.archives}


def files_of(tree: str) -> dict[str, int]:
    """Path below the tree -> size in bytes of every file and link in it but the marker."""
    found = {}
    for above, folders, files in os.walk(tree):
        links = [name for name in folders if os.path.islink(os.path.join(above, name))]
        for path in (os.path.join(above, name) for name in [*files, *links]):
            found[os.path.relpath(path, tree)] = os.lstat(path).st_size
    found.pop(MARKER, None)
    return found


def entries(directory: str) -> list[str]:
    """Names in the folder of trees, whatever they are."""
    with contextlib.suppress(OSError):
        return sorted(os.listdir(os.path.join(directory, TREES)))
    return []


def trees(directory: str) -> list[str]:
    """Names of the trees that have a marker."""
    return [name for name in entries(directory) if read_marker(os.path.join(directory, TREES, name)) and not is_unfinished(name)]


def is_unfinished(name: str) -> bool:
    return name.endswith((BUILDING, REPLACED))


def linked(directory: str) -> str | None:
    """Name of the tree that the link leads to; None when there is no link or it leads elsewhere."""
    link = os.path.join(directory, LINK)
    folder, name = os.path.split(os.readlink(link)) if os.path.islink(link) else ("", "")
    return name if folder == TREES and name else None


def observe(wanted: Wanted) -> Found:
    """Look; nothing is touched. ``wanted`` has every sha256."""
    now = linked(wanted.directory)
    others = [name for name in trees(wanted.directory) if name != wanted.name]
    # The one in use goes on being of use: as the way back.
    others.sort(key=lambda name: (name == now, last_used(wanted.directory, name)), reverse=True)
    kept = max(wanted.kept - 1, 0)
    unfinished = [os.path.join(TREES, name) for name in entries(wanted.directory) if is_unfinished(name)]
    if os.path.isdir(os.path.join(wanted.directory, ARCHIVES)):
        unfinished.append(ARCHIVES)
    return Found(is_complete(wanted), now, tuple(sorted(others[kept:])), tuple(unfinished))


def last_used(directory: str, name: str) -> float:
    """When a tree was last linked to, by its marker (seconds since the epoch)."""
    return os.path.getmtime(os.path.join(directory, TREES, name, MARKER))


def act(wanted: Wanted, found: Found) -> int:
    """Bring the link to the wanted tree and remove what is too much; returns the bytes downloaded. Raises ReleaseError."""
    received = 0
    if not found.complete:
        received = fetch_archives(wanted)
        make(wanted)
    elif found.linked != wanted.name:
        try_program(wanted.tree, wanted.program)
    if found.linked != wanted.name:
        move_link(wanted, found.linked)
    remove(wanted.directory, [os.path.join(TREES, name) for name in found.surplus])
    remove(wanted.directory, [*found.unfinished, ARCHIVES])
    return received


def fetch_archives(wanted: Wanted) -> int:
    """Have every archive in its place, and as its sha256 says; returns the bytes downloaded. Raises ReleaseError."""
    os.makedirs(os.path.join(wanted.directory, ARCHIVES), mode=0o755, exist_ok=True)
    received = 0
    for archive in wanted.archives:
        place, sha256 = wanted.place(archive), archive.sha256 or ""
        if archive.url:
            received += fetch(archive.url, sha256, place)
            continue
        got = sha256_of(place) if os.path.isfile(place) else "(no file)"
        if got != sha256:
            raise ReleaseError(f"{archive.file}: got sha256 {got}; expected {sha256}; put the right file there")
    return received


def make(wanted: Wanted) -> None:
    """Unpack the archives over each other, try the program, and put the tree into its place. Raises ReleaseError."""
    building = wanted.tree + BUILDING
    shutil.rmtree(building, ignore_errors=True)
    os.makedirs(building, mode=0o755)
    try:
        for archive in wanted.archives:
            unpack(wanted.place(archive), building, wanted.strip_components)
        try_program(building, wanted.program)
        told = {"version": wanted.version, "archives": digests(wanted), "strip_components": wanted.strip_components}
        with open(os.path.join(building, MARKER), "w", encoding="utf-8") as file:
            json.dump({**told, "files": files_of(building)}, file, indent=1)
        give_to(wanted.owner, building)
        put_in_place(building, wanted.tree)
    except OSError as error:
        raise ReleaseError(f"{building}: {error.strerror or error}; nothing was replaced; mend it and run again") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def try_program(tree: str, program: Program) -> None:
    """Run a tree's program. Raises ReleaseError where it is not there, ends with an error, or says something else."""
    path = os.path.join(tree, program.path)
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        tops = ", ".join(sorted(os.listdir(tree))[:10]) or "nothing"
        raise ReleaseError(
            f"got no program {program.path} (the archives hold {tops}); check the archives and the parts taken off names"
        )
    words = " ".join([program.path, *program.arguments])
    with tempfile.TemporaryDirectory(prefix="homelab-llm-") as home:
        # Some programs end at once without a home; nothing they write into it is kept.
        variables = {**os.environ, "HOME": home, **program.environment}
        try:
            done = subprocess.run(
                [path, *program.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=home,
                env=variables,
                timeout=TRY_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise ReleaseError(f"{words}: got {error}; expected a program of this machine's kind; check the archives") from error
    said = done.stdout.decode(errors="replace").strip()[-OUTPUT_CHARACTERS:]
    if done.returncode or not holds_word(said, program.says):
        raise ReleaseError(f"{words}: ended with {done.returncode} and said {said!r}; expected 0 and {program.says!r}")


def holds_word(said: str, word: str) -> bool:
    """Whether a text holds a word as a whole: 0.33.0 is in v0.33.0, and neither in 10.33.0 nor in 0.33.0-rc2."""
    return re.search(rf"(?<![\w.+-])v?{re.escape(word)}(?![\w+-]|\.\w)", said) is not None


def give_to(owner: tuple[int, int] | None, tree: str) -> None:
    if owner is None or os.geteuid() != 0:
        return
    os.chown(tree, *owner)
    for above, folders, files in os.walk(tree):
        for name in [*folders, *files]:
            os.chown(os.path.join(above, name), *owner, follow_symlinks=False)


def put_in_place(building: str, tree: str) -> None:
    """Swap a tree in; an incomplete one of the same name is removed."""
    replaced = tree + REPLACED
    shutil.rmtree(replaced, ignore_errors=True)
    if os.path.isdir(tree):
        os.rename(tree, replaced)
    os.rename(building, tree)
    shutil.rmtree(replaced, ignore_errors=True)


def move_link(wanted: Wanted, before: str | None) -> None:
    """Lead the link to the wanted tree, in one step; the order of use is kept in the markers' times."""
    link = os.path.join(wanted.directory, LINK)
    beside = link + BUILDING
    with contextlib.suppress(FileNotFoundError):
        os.remove(beside)
    os.symlink(os.path.join(TREES, wanted.name), beside)
    os.replace(beside, link)
    now_ns = time.time_ns()
    for name, age_ns in ((before, 1_000_000), (wanted.name, 0)):
        with contextlib.suppress(OSError):
            os.utime(os.path.join(wanted.directory, TREES, name or "", MARKER), ns=(now_ns - age_ns, now_ns - age_ns))


def remove(directory: str, names: list[str]) -> None:
    for name in names:
        shutil.rmtree(os.path.join(directory, name), ignore_errors=True)


def remains(directory: str) -> list[str]:
    """What `remove_all` takes away, below the directory; somebody else's things are not in it."""
    ours = [*trees(directory), *(name for name in entries(directory) if is_unfinished(name))]
    found = [LINK] if linked(directory) else []
    found += [os.path.join(TREES, name) for name in sorted(ours)]
    return found + [ARCHIVES] * os.path.isdir(os.path.join(directory, ARCHIVES))


def remove_all(directory: str) -> None:
    """Remove link, trees and archives, and the folders that are empty then. Raises OSError."""
    if linked(directory):
        os.remove(os.path.join(directory, LINK))
    for name in remains(directory):
        shutil.rmtree(os.path.join(directory, name))
    for folder in (os.path.join(directory, TREES), directory):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
