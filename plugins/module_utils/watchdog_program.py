# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the residency watchdog on a host as a package of its own: the very files that this module was sent with."""

from __future__ import annotations

import hashlib
import os
from importlib import import_module
from typing import Any, Mapping

from .residency_files import write_whole
from .residency_watchdog import FILES

PACKAGE = "homelab_llm"
MODE = 0o755


def wanted_files() -> dict[str, str]:
    """Name -> text of every file of the package."""
    sources = {name: _source(name.rpartition(".")[0]) for name in FILES}
    return {"__init__.py": "", **sources}


def _source(name: str) -> str:
    """A neighbour of this file, out of a folder or out of the archive in which Ansible sends modules."""
    module = import_module(f".{name}", __package__)
    loader: Any = module.__loader__
    return str(loader.get_source(module.__name__))


def digest_of(files: Mapping[str, str]) -> str:
    """sha256 of names and texts, hex: another program has another one."""
    told = "".join(f"{name}\0{text}\0" for name, text in sorted(files.items()))
    return hashlib.sha256(told.encode()).hexdigest()


def installed_files(directory: str) -> dict[str, str]:
    """The package as it is there; what Python keeps beside its files is left out. Raises OSError."""
    folder = os.path.join(directory, PACKAGE)
    found = {}
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        path = os.path.join(folder, name)
        if name.endswith(".py") and os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace", newline="") as stream:
                found[name] = stream.read()
    return found


def install(directory: str, check_mode: bool) -> dict[str, Any]:
    """Bring the package to the host and take away files that are none of it. Returns what the module does. Raises OSError."""
    wanted, there = wanted_files(), installed_files(directory)
    if wanted != there and not check_mode:
        folder = os.path.join(directory, PACKAGE)
        os.makedirs(folder, MODE, exist_ok=True)
        for name in sorted(there.keys() - wanted.keys()):
            os.unlink(os.path.join(folder, name))
        for name, text in wanted.items():
            if there.get(name) != text:
                write_whole(os.path.join(folder, name), text)
    digest, before = digest_of(wanted), digest_of(there) if there else ""
    # The digests stand for a thousand lines of program, which nobody has asked for.
    return {"changed": wanted != there, "digest": digest, "diff": {"before": f"{before}\n", "after": f"{digest}\n"}}
