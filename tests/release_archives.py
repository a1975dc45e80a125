"""Small release archives of every kind, honest and dishonest."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

# What an entry is: (name, kind, text or target); kinds as in release_archive.
Item = tuple[str, str, str]
KINDS = {"directory": tarfile.DIRTYPE, "symbolic": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "other": tarfile.FIFOTYPE}


def tar_bytes(items: Sequence[Item]) -> bytes:
    """A tar archive; files of the kind `program` are executable, of everybody's, and writable for everybody."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, kind, text in items:
            info = tarfile.TarInfo(name)
            info.type = KINDS.get(kind, tarfile.REGTYPE)
            info.mode = {"program": 0o4777, "directory": 0o777}.get(kind, 0o600)
            info.uid = info.gid = 4242
            info.linkname = text if kind in ("symbolic", "hard") else ""
            info.size = len(text) if kind in ("file", "program") else 0
            archive.addfile(info, io.BytesIO(text.encode()))
    return data.getvalue()


def zip_bytes(items: Sequence[Item]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, kind, text in items:
            info = zipfile.ZipInfo(name + "/" * (kind == "directory"))
            modes = {"program": 0o100755, "symbolic": 0o120777, "directory": 0o040755, "other": 0o010644}
            info.external_attr = modes.get(kind, 0o100644) << 16
            archive.writestr(info, text)
    return data.getvalue()


def pack(path: Path, items: Sequence[Item]) -> Path:
    """An archive of the kind that its name says."""
    if path.name.endswith(".zip"):
        path.write_bytes(zip_bytes(items))
        return path
    command = ["zstd", "--quiet", "--stdout"] if path.name.endswith(".zst") else ["gzip", "--stdout"]
    path.write_bytes(subprocess.run(command, input=tar_bytes(items), capture_output=True, check=True).stdout)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def program(says: str, code: int = 0) -> Item:
    return ("bin/tool", "program", f"#!/bin/sh\necho {says}\nexit {code}\n")
