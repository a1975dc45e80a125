# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes into an Ollama's store: a blob under a name of its own until it is whole and verified, a manifest after all its blobs.

Layout: manifest/paths.go of Ollama v0.34.1 (the same in v0.24.0). ``/api/tags`` reads the store at every request, so that it
shows what was written here at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import grp
import hashlib
import json
import os
import pwd
import shutil
import stat
import tempfile
from typing import Any, Iterable

from .gguf_bytes import GgufError
from .ollama_manifest import Layer, Manifest, parse_manifest
from .ollama_names import ModelName
from .ollama_store import blob_path, has_blob, manifest_path
from .store_partials import PARTIAL, begun_files, is_left, left_over, taken_bytes
from .transfer_progress import ModelProblem

# Room that is left for the engine's own small files and logs.
MARGIN_BYTES = 256 * 2**20
HASH_BYTES = 2**20
MIB = 2**20


def all_layers(manifest: Manifest) -> list[Layer]:
    """The different blobs of a model, its configuration among them."""
    config = [manifest.config_layer] if manifest.config_layer else []
    return list({layer.digest.lower(): layer for layer in [*manifest.layers, *config]}.values())


class Store:
    """The directory of an engine's models (OLLAMA_MODELS).

    ``owner``: "user" or "user:group" of what is written, None: whoever writes. Raises ModelProblem where the
    owner does not exist or may not be set.
    """

    def __init__(self, directory: str, owner: str | None = None) -> None:
        self.directory = directory
        self._owner = _ids(owner) if owner else None

    def has(self, layer: Layer) -> bool:
        """Whether the blob is there with its size."""
        return has_blob(self.directory, layer)

    def missing(self, manifest: Manifest) -> list[Layer]:
        """The blobs of a model that are not there."""
        return [layer for layer in all_layers(manifest) if not self.has(layer)]

    def check_space(self, name: str, layers: Iterable[Layer], by_engine: bool) -> None:
        """Raises ModelProblem where the file system has not enough room for what is still to be fetched of these.

        The engine cannot go on with what this collection has begun, nor the other way round: such files can make room.
        """
        layers = list(layers)
        self._check_space(name, layers, by_engine, taken_bytes(self._useless(layers, by_engine)))

    def make_room(self, name: str, layers: Iterable[Layer], by_engine: bool) -> None:
        """The same for a transfer that begins: what can make room has done so where it is needed."""
        layers = list(layers)
        try:
            self._check_space(name, layers, by_engine, 0)
        except ModelProblem:
            for path in self._useless(layers, by_engine):
                os.unlink(path)
            self._check_space(name, layers, by_engine, 0)

    def _check_space(self, name: str, layers: list[Layer], by_engine: bool, more_bytes: int) -> None:
        needed = 0
        for layer in layers:
            needed += max(0, layer.size_bytes - taken_bytes(begun_files(self.directory, layer.digest, by_engine)))
        self.check_room(name, needed, f"{len(layers)} layers that are not in the store yet", more_bytes)

    def _useless(self, layers: Iterable[Layer], by_engine: bool) -> list[str]:
        """What the other way of fetching has begun of these and left."""
        groups = [begun_files(self.directory, layer.digest, not by_engine) for layer in layers]
        return [path for paths in groups if is_left(paths) for path in paths]

    def check_room(self, name: str, needed_bytes: int, what: str, more_bytes: int = 0) -> None:
        """Raises ModelProblem where there is no room for so many bytes and the margin; ``more_bytes``: as good as free."""
        if not needed_bytes:
            return
        place = self._nearest()
        free = shutil.disk_usage(place).free + more_bytes
        if free < needed_bytes + MARGIN_BYTES:
            raise ModelProblem(
                f"got {free / MIB:.0f} MiB free at {self.directory} (file system of {place}), expected "
                f"{needed_bytes / MIB:.0f} MiB for {what} of {name} and {MARGIN_BYTES / MIB:.0f} MiB beside: "
                "remove models that nobody needs, or put models_directory on a larger file system; nothing was fetched"
            )

    def pulled_bytes(self, layer: Layer) -> int:
        """Bytes of a blob that an interrupted pull of the engine has (server/download.go: one JSON file for each part)."""
        total = 0
        for path in glob.glob(glob.escape(blob_path(self.directory, layer.digest)) + "-partial-*"):
            with contextlib.suppress(OSError, ValueError, AttributeError, TypeError), open(path, encoding="utf-8") as stream:
                total += int(json.loads(stream.read(4096)).get("Completed") or 0)
        return min(total, layer.size_bytes)

    def own_bytes(self, layer: Layer) -> int:
        """Bytes of a blob that an interrupted download of this collection has already."""
        try:
            return min(os.path.getsize(blob_path(self.directory, layer.digest) + PARTIAL), layer.size_bytes)
        except OSError:
            return 0

    def partial(self, layer: Layer) -> Partial:
        """The unfinished file of a blob."""
        self._make(os.path.join(self.directory, "blobs"))
        return Partial(blob_path(self.directory, layer.digest) + PARTIAL)

    def forget_partials(self, manifest: Manifest) -> None:
        """Remove what is left of transfers of blobs that are there now."""
        for layer in filter(self.has, all_layers(manifest)):
            for by_engine in (False, True):
                for path in begun_files(self.directory, layer.digest, by_engine):
                    with contextlib.suppress(OSError):
                        os.unlink(path)

    def drop_broken(self, layers: Iterable[Layer]) -> None:
        """Remove files of blobs that have another size than they should: an Ollama takes each file that is there for whole."""
        for layer in layers:
            path = blob_path(self.directory, layer.digest)
            if os.path.isfile(path) and not self.has(layer):
                os.unlink(path)

    def keep(self, layer: Layer, partial: Partial) -> None:
        """Give a verified file its name."""
        self._own(partial.number)
        os.fsync(partial.number)
        os.replace(partial.path, blob_path(self.directory, layer.digest))

    def write_manifest(self, name: ModelName, data: bytes) -> None:
        """Name the blobs: from now on the model is there."""
        path = manifest_path(self.directory, name)
        self._make(os.path.dirname(path))
        number, unfinished = tempfile.mkstemp(prefix=".manifest-", dir=self.directory)
        try:
            with os.fdopen(number, "wb") as stream:
                stream.write(data)
                stream.flush()
                self._own(stream.fileno())
                os.fsync(stream.fileno())
            os.replace(unfinished, path)
        except BaseException:
            os.unlink(unfinished)
            raise

    def remove_unused(self, digests: Iterable[str]) -> list[str]:
        """Remove those blobs that no manifest of the store names, none where one cannot be read; returns what was removed."""
        used = self._used()
        if used is None:
            return []
        removed = []
        for digest in sorted({digest.lower() for digest in digests} - used):
            with contextlib.suppress(OSError):
                os.unlink(blob_path(self.directory, digest))
                removed.append(digest)
        return removed

    def left_over(self, older_than_s: float) -> list[str]:
        """Paths of files that no model has and nobody writes, see store_partials; none where a manifest cannot be read."""
        used = self._used()
        return [] if used is None else left_over(self.directory, used, older_than_s)

    def _used(self) -> set[str] | None:
        used: set[str] = set()
        for folder, _folders, files in os.walk(os.path.join(self.directory, "manifests")):
            for file in files:
                path = os.path.join(folder, file)
                try:
                    with open(path, "rb") as stream:
                        used.update(layer.digest.lower() for layer in all_layers(parse_manifest(stream.read(), path)))
                except (OSError, GgufError):
                    return None
        return used

    def _nearest(self) -> str:
        """The directory, or what there is of its path."""
        path = os.path.abspath(self.directory)
        while not os.path.isdir(path):
            path = os.path.dirname(path)
        return path

    def _make(self, folder: str) -> None:
        """A folder below the store's with what is missing on the way to it."""
        if os.path.isdir(folder):
            return
        self._make(os.path.dirname(folder))
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o755)
            if self._owner:
                os.chown(folder, *self._owner, follow_symlinks=False)

    def _own(self, number: int) -> None:
        os.fchmod(number, 0o644)
        if self._owner:
            os.fchown(number, *self._owner)


def _ids(owner: str) -> tuple[int, int]:
    """User and group by their names. Raises ModelProblem."""
    user_name, _colon, group_name = owner.partition(":")
    try:
        user = pwd.getpwnam(user_name)
        group = grp.getgrnam(group_name).gr_gid if group_name else user.pw_gid
    except KeyError:
        raise ModelProblem(f"got models_owner {owner!r}, expected a user, or user:group, of this host; create it first") from None
    if os.geteuid() not in (0, user.pw_uid):
        raise ModelProblem(f"files of the store shall belong to {owner}, which takes root: run with become, or as {user_name}")
    return user.pw_uid, group


class Partial:
    """An unfinished blob, open and locked for this process alone, from the ``with`` on; its content so far is hashed then.

    ``busy`` says in the ``with`` that another process has it; it can be entered again later.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.number = -1
        self.size_bytes = 0
        self.busy = False
        self._digest: Any = hashlib.sha256()

    def __enter__(self) -> Partial:
        # Root writes here beside the engine's user: no link of theirs leads anywhere else.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self.number = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise ModelProblem(
                f"{self.path}: cannot be written: {error.strerror}; run as the owner of the models or as root"
            ) from None
        try:
            fcntl.flock(self.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.busy = True
            return self
        found = os.fstat(self.number)
        # Whoever had it may have finished it and given it its name meanwhile.
        self.busy = not self._is_at_path(found)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            os.close(self.number)
            raise ModelProblem(f"{self.path}: is no plain file of its own; remove it and run again")
        if not self.busy:
            self._read()
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self.number)
        self.number, self.busy = -1, False

    def append(self, piece: bytes) -> None:
        """More of the content. Raises ModelProblem where the disk is full."""
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[os.write(self.number, rest) :]
        except OSError as error:
            raise ModelProblem(f"{self.path}: cannot be written: {error.strerror}; make room, then run again") from None
        self._digest.update(piece)
        self.size_bytes += len(piece)

    def restart(self) -> None:
        """Forget the content."""
        os.ftruncate(self.number, 0)
        self._rewind()

    @property
    def sha256(self) -> str:
        return str(self._digest.hexdigest())

    def _is_at_path(self, found: os.stat_result) -> bool:
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino)

    def _read(self) -> None:
        self._rewind()
        while True:
            piece = os.read(self.number, HASH_BYTES)
            if not piece:
                return
            self._digest.update(piece)
            self.size_bytes += len(piece)

    def _rewind(self) -> None:
        os.lseek(self.number, 0, os.SEEK_SET)
        self.size_bytes, self._digest = 0, hashlib.sha256()
