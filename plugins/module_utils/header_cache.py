"""Headers that were read once, kept by the digest of their file: a model is read over the network only once.

An entry is a checksum line and JSON. It belongs to a digest *and* the server that told it, because a header is only a part of its
file, which cannot be checked against the file's digest: what one server says of a digest must not be believed of another.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from typing import Any

from .gguf_bytes import LongArray, Value
from .gguf_header import Header
from .gguf_types import Tensor

# Raised with every change of what an entry holds or of what the reader refuses.
FORMAT = 1
MAX_ENTRY_BYTES = 16 * 2**20
MAX_CACHE_BYTES = 64 * 2**20
MAX_ENTRIES = 1_000


def default_directory() -> str:
    """The user's own cache."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "homelab-llm", "headers")


class HeaderCache:
    """The entries in one directory. Every trouble with it only means that a header is read anew: it never raises."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def get(self, server: str, digest: str, name: str) -> Header | None:
        """The header kept for a digest, under a name for messages; None where there is none or it is damaged."""
        path = self._path(server, digest)
        try:
            if not self._is_ours():
                return None
            with open(path, "rb") as stream:
                data = stream.read(MAX_ENTRY_BYTES + 1)
            header = decoded(data, name)
            # The oldest by this time goes first when there are too many.
            os.utime(path)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return header

    def put(self, server: str, digest: str, header: Header) -> None:
        """Keep a header, whole or not at all, and remove the oldest entries when there are too many."""
        with contextlib.suppress(OSError):
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            if self._is_ours():
                _replace_file(self._path(server, digest), encoded(header))
                self._shrink()

    def _path(self, server: str, digest: str) -> str:
        key = hashlib.sha256(f"{FORMAT} {server} {digest}".encode()).hexdigest()
        return os.path.join(self._directory, f"{key}.header")

    def _is_ours(self) -> bool:
        """Whether nobody else can write entries that we would believe."""
        status = os.stat(self._directory)
        return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)

    def _shrink(self) -> None:
        files = [entry for entry in os.scandir(self._directory) if entry.is_file(follow_symlinks=False)]
        newest_first = sorted(((entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in files), reverse=True)
        total_bytes = 0
        for index, (_time, size_bytes, path) in enumerate(newest_first):
            total_bytes += size_bytes
            if total_bytes > MAX_CACHE_BYTES or index >= MAX_ENTRIES:
                os.unlink(path)


def _replace_file(path: str, data: bytes) -> None:
    descriptor, unfinished = tempfile.mkstemp(dir=os.path.dirname(path))
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
        os.replace(unfinished, path)
    except OSError:
        os.unlink(unfinished)
        raise


def encoded(header: Header) -> bytes:
    """A header as the bytes of an entry."""
    said = {
        "file_bytes": header.file_bytes,
        "version": header.version,
        "header_bytes": header.header_bytes,
        "metadata": {key: _plain(value) for key, value in header.metadata.items()},
        "tensors": [[tensor.name, tensor.shape, tensor.type_id, tensor.offset] for tensor in header.tensors],
    }
    payload = json.dumps(said).encode()
    return hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def decoded(data: bytes, name: str) -> Header:
    """The header out of an entry. Raises ValueError, KeyError or TypeError for a damaged one."""
    checksum, _newline, payload = data.partition(b"\n")
    if hashlib.sha256(payload).hexdigest().encode() != checksum:
        raise ValueError("damaged entry")
    said = json.loads(payload)
    return Header(
        name=name,
        file_bytes=said["file_bytes"],
        version=said["version"],
        metadata={key: _value(value) for key, value in said["metadata"].items()},
        tensors=tuple(Tensor(tensor, tuple(shape), type_id, offset) for tensor, shape, type_id, offset in said["tensors"]),
        header_bytes=said["header_bytes"],
    )


def _plain(value: Value) -> Any:
    return {"length": value.length, "item_type": value.item_type} if isinstance(value, LongArray) else value


def _value(plain: Any) -> Value:
    if isinstance(plain, dict):
        return LongArray(plain["length"], plain["item_type"])
    value: Value = plain
    return value
