"""What both faces of the audit do with files: names of an environment file, and a file that is replaced whole."""

from __future__ import annotations

import codecs
import os
import shutil
import tempfile
from pathlib import Path

# Of a file that was not there before.
MODE = 0o644


def environment_names(content: bytes) -> list[str]:
    """The names of NAME=value lines; the values are not looked at."""
    lines = [line.strip() for line in content.decode("utf-8-sig", "replace").splitlines()]
    return [line.partition("=")[0].removeprefix("export ").strip() for line in lines if "=" in line and not line.startswith("#")]


def encoded(text: str, before: bytes) -> bytes:
    """A mended text as it was written before, with a byte order mark if it had one."""
    return text.encode("utf-8-sig" if before.startswith(codecs.BOM_UTF8) else "utf-8")


def write_whole(file: Path, content: bytes) -> None:
    """The whole file or none of it, with the mode that it had; a link keeps leading to it. Raises OSError."""
    target = file.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        if target.exists():
            shutil.copymode(target, name)
        else:
            os.chmod(name, MODE)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def relative(path: str) -> str:
    """As a repository knows the file, where it lies below the current folder; else from the root on."""
    below = os.path.relpath(path)
    return os.path.abspath(path) if below.startswith("..") else below
