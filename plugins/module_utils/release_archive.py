# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacks an archive of somebody else's into a folder, and nowhere else.

An entry whose name is absolute or climbs, a link that leads out of the folder and a device end the work. No entry is written
through a link, users and rights of the archive are not taken over: what is executable stays so, everything else is plain.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
import zlib
from typing import IO, Any, Generator, Iterator, NamedTuple

# Ending of a file -> how it is packed.
KINDS = {".tar.zst": "zstd", ".tar.gz": "gzip", ".tgz": "gzip", ".zip": "zip"}
# Where a program may lie that the search path of a background job does not name.
MORE_PROGRAM_FOLDERS = ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin")
PIECE_BYTES = 2**20
BROKEN = (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, ValueError, RuntimeError, NotImplementedError)


class ReleaseError(Exception):
    """A release cannot be fetched, unpacked or used; the message names it, what was found and what to do."""


class Entry(NamedTuple):
    """One entry of an archive: ``kind`` is file, directory, symbolic, hard or other; ``target`` is a link's, as written."""

    name: str
    kind: str
    executable: bool = False
    target: str = ""
    content: IO[bytes] | None = None


def kind_of(file: str) -> str:
    """How an archive is packed, by its name. Raises ReleaseError."""
    for ending, kind in KINDS.items():
        if file.endswith(ending):
            return kind
    raise ReleaseError(f"{file}: got an archive of this name; expected one that ends with {', '.join(KINDS)}")


def python_zstd() -> Any | None:
    """Python's own module for Zstandard (3.14 and newer); None where there is none."""
    try:
        return importlib.import_module("compression.zstd")
    except ImportError:
        return None


def zstd_program() -> str | None:
    """Path of the program zstd; None where there is none."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *MORE_PROGRAM_FOLDERS]
    return shutil.which("zstd", path=os.pathsep.join(folders))


def can_unpack(file: str) -> bool:
    """Whether this machine has what it takes to unpack an archive of this name. Raises ReleaseError."""
    return kind_of(file) != "zstd" or python_zstd() is not None or zstd_program() is not None


def unpack(path: str, folder: str, strip_components: int = 0) -> None:
    """Unpack an archive into a folder that exists, over what an earlier archive left there.

    ``strip_components`` leading parts are taken off each name; an entry with no more parts than that is left out. Raises
    ReleaseError; what was unpacked until then stays.
    """
    name = os.path.basename(path)
    try:
        with contextlib.ExitStack() as open_things:
            is_zip = kind_of(path) == "zip"
            entries = zip_entries(path) if is_zip else tar_entries(open_things.enter_context(opened(path)))
            for entry in open_things.enter_context(contextlib.closing(entries)):
                put(entry, folder, strip_components)
    except ReleaseError as error:
        raise ReleaseError(f"{name}: {error}") from None
    except BROKEN as error:
        raise ReleaseError(f"{name}: got an archive that cannot be read to its end ({error}); fetch it again") from error
    check_links(folder, name)


def zip_entries(path: str) -> Generator[Entry, None, None]:
    """The entries of a zip archive; rights and links as Info-ZIP writes them."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            if info.is_dir():
                yield Entry(info.filename, "directory")
            elif stat.S_ISLNK(mode):
                yield Entry(info.filename, "symbolic", target=archive.read(info).decode("utf-8"))
            else:
                kind = "file" if stat.S_IFMT(mode) in (0, stat.S_IFREG) else "other"
                with archive.open(info) as content:
                    yield Entry(info.filename, kind, bool(mode & 0o111), content=content)


def tar_entries(stream: Any) -> Generator[Entry, None, None]:
    """The entries of a tar archive, read as one stream to its very end, which is where a compressor's checks stand."""
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for info in archive:
            content = archive.extractfile(info) if info.isreg() else None
            yield Entry(info.name, tar_kind(info), bool(info.mode & 0o111), info.linkname, content)
    while stream.read(PIECE_BYTES):
        pass


def tar_kind(info: tarfile.TarInfo) -> str:
    if info.isreg():
        return "file"
    if info.isdir():
        return "directory"
    return "symbolic" if info.issym() else "hard" if info.islnk() else "other"


@contextlib.contextmanager
def opened(path: str) -> Iterator[Any]:
    """The bytes that a compressed file stands for, as a stream."""
    if kind_of(path) == "gzip":
        with gzip.open(path, "rb") as stream:
            yield stream
        return
    own = python_zstd()
    if own is not None:
        with own.open(path, "rb") as stream:
            yield stream
        return
    with zstd_stream(path) as stream:
        yield stream


@contextlib.contextmanager
def zstd_stream(path: str) -> Iterator[Any]:
    """What the program zstd makes of a file. Raises ReleaseError when it complains."""
    program = zstd_program()
    if program is None:
        raise ReleaseError("got no program zstd on the host; install the package zstd, or take an archive that ends with .tgz")
    # Long windows are what `zstd --ultra` packs with.
    command = [program, "--decompress", "--stdout", "--quiet", "--long=31", "--", path]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if process.stdout is None or process.stderr is None:
        raise ReleaseError("got no output of zstd")
    try:
        yield process.stdout
        said = process.stderr.read().decode(errors="replace").strip()
        if process.wait():
            raise ReleaseError(f"got from zstd: {said[-300:] or process.returncode}; expected a whole archive; fetch it again")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def stripped(name: str, count: int) -> str | None:
    """A name without its first parts; None when nothing is left. Raises ReleaseError for one that leaves the folder."""
    if name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"):
        raise ReleaseError(f"got the entry {name!r}; expected a path below the archive's own folder; do not use this archive")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/".join(parts[count:]) or None


def put(entry: Entry, folder: str, strip_components: int) -> None:
    """Write one entry below ``folder``. Raises ReleaseError for one that is not allowed there."""
    name = stripped(entry.name, strip_components)
    if entry.kind == "other":
        raise ReleaseError(f"got {entry.name!r}, which is no file, folder or link; do not use this archive")
    if name is None:
        return
    place = os.path.join(folder, name)
    if entry.kind == "directory":
        make_folder(place, folder)
        return
    make_folder(os.path.dirname(place), folder)
    if os.path.isdir(place) and not os.path.islink(place):
        raise ReleaseError(f"got {entry.name!r} as a folder and as a file; do not use this archive")
    if os.path.lexists(place):
        os.remove(place)
    if entry.kind == "symbolic":
        link(entry, place, folder)
    elif entry.kind == "hard":
        hard_link(entry, place, folder, strip_components)
    elif entry.content is not None:
        write(entry, place)


def make_folder(path: str, folder: str) -> None:
    """A folder below ``folder``, with those above it. Raises ReleaseError where a link would lead out."""
    if not is_inside(path, folder):
        raise ReleaseError(f"got an entry in {os.path.relpath(path, folder)!r}, which a link leads out of the archive's folder")
    os.makedirs(path, mode=0o755, exist_ok=True)


def is_inside(path: str, folder: str) -> bool:
    """Whether a path, all links followed, is ``folder`` or below it."""
    root = os.path.realpath(folder)
    return os.path.commonpath([root, os.path.realpath(path)]) == root


def link(entry: Entry, place: str, folder: str) -> None:
    if os.path.isabs(entry.target) or not is_inside(os.path.join(os.path.dirname(place), entry.target), folder):
        raise ReleaseError(f"got the link {entry.name!r} to {entry.target!r}; expected one within the archive; do not use it")
    os.symlink(entry.target, place)


def hard_link(entry: Entry, place: str, folder: str, strip_components: int) -> None:
    """A second name of a file that the archive brought before."""
    name = stripped(entry.target, strip_components)
    source = os.path.join(folder, name) if name else ""
    if not name or os.path.islink(source) or not os.path.isfile(source) or not is_inside(source, folder):
        raise ReleaseError(f"got {entry.name!r} as another name of {entry.target!r}; expected a file of the archive")
    os.link(source, place)


def write(entry: Entry, place: str) -> None:
    with open(place, "xb") as file:
        if entry.content is not None:
            shutil.copyfileobj(entry.content, file, PIECE_BYTES)
    os.chmod(place, 0o755 if entry.executable else 0o644)


def check_links(folder: str, name: str) -> None:
    """See that no link leads out now that everything it passes through is there. Raises ReleaseError."""
    for above, folders, files in os.walk(folder):
        for path in (os.path.join(above, item) for item in [*folders, *files]):
            if os.path.islink(path) and not is_inside(path, folder):
                raise ReleaseError(f"{name}: the link {os.path.relpath(path, folder)!r} leads out of it; do not use this archive")
