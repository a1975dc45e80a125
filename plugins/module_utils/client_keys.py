# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of the router's clients: one file per generated key, and the table of digests that the proxy reads."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import string
from typing import Any, Mapping, NamedTuple, Sequence

SUFFIX = ".key"
# A name is a file's name too.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# As the master key's: long enough that nobody guesses it from its digest.
KEY = re.compile(r"sk-[A-Za-z0-9._-]{16,}")
GENERATED_CHARACTERS = 48
# Stands in the table for a key that is yet to be made.
UNKNOWN = "unknown until it is made"


class ClientError(ValueError):
    """A client cannot be had as it is asked for; the message names it and never its key."""


class Work(NamedTuple):
    """What has to be done: names of clients that get a key, and names whose generated key is removed."""

    make: list[str]
    remove: list[str]


def check(models: Mapping[str, Any], keys: Mapping[str, Any]) -> None:
    """Refuse clients that the proxy would misread. An empty list of models would open all of them."""
    for name, wanted in models.items():
        if not NAME.fullmatch(name):
            raise ClientError(f"client {name!r}: expected a name of letters, digits, dot, dash and underscore")
        if not isinstance(wanted, list) or not wanted or not all(isinstance(item, str) and item for item in wanted):
            raise ClientError(f"client {name}: models is {wanted!r}; expected the aliases that it may call, one or more")
        key = keys.get(name)
        if key is not None and not (isinstance(key, str) and KEY.fullmatch(key)):
            raise ClientError(
                f"client {name}: its key (not shown) has another shape; expected sk- and 16 or more letters, digits, dots, "
                "dashes or underscores, or none and one is made"
            )
    check_distinct({name: key for name, key in keys.items() if key is not None and name in models}, None)


def check_distinct(keys: Mapping[str, str], master: str | None) -> None:
    """Refuse a key that is two's: the master key makes an administrator, and of two clients the table would keep one."""
    for name, key in keys.items():
        if key == master:
            raise ClientError(f"client {name} has the master key (not shown); expected one of its own")
    if len(set(keys.values())) != len(keys):
        raise ClientError("two clients have the same key; expected one of its own for each")


def work(models: Mapping[str, Any], keys: Mapping[str, Any], present: Sequence[str]) -> Work:
    """What has to be done, from the names that have a generated key."""
    generated = [name for name in models if keys.get(name) is None]
    return Work(sorted(set(generated) - set(present)), sorted(set(present) - set(generated)))


def new_key() -> str:
    letters = string.ascii_letters + string.digits
    return "sk-" + "".join(secrets.choice(letters) for number in range(GENERATED_CHARACTERS))


def table(models: Mapping[str, Sequence[str]], keys: Mapping[str, str | None]) -> str:
    """clients.json: digest of a key -> the client's name and models. A key that is not known yet has a line of its own."""
    lines = {}
    for name in sorted(models):
        key = keys.get(name)
        digest = hashlib.sha256(key.encode()).hexdigest() if key else f"{name}: {UNKNOWN}"
        lines[digest] = {"key_alias": name, "models": list(models[name])}
    return json.dumps(lines, indent=1, sort_keys=True) + "\n"


def present_names(directory: str) -> list[str]:
    """Clients that have a generated key."""
    found = os.listdir(directory) if os.path.isdir(directory) else []
    return sorted(name[: -len(SUFFIX)] for name in found if name.endswith(SUFFIX))


def path_of(directory: str, name: str) -> str:
    return os.path.join(directory, name + SUFFIX)


def read_keys(directory: str, names: Sequence[str]) -> dict[str, str]:
    """The generated keys. Raises ClientError for a file that holds none."""
    found = {}
    for name in names:
        path = path_of(directory, name)
        with open(path, encoding="utf-8") as file:
            found[name] = file.read().strip()
        if not KEY.fullmatch(found[name]):
            raise ClientError(f"{path}: its content (not shown) is no key; remove the file and a new key is made")
    return found


def write_private(path: str, text: str, owner: int | None = None) -> None:
    """Write a file that only its owner may read, whole or not at all; nobody's link or file is written through."""
    new = path + ".new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        if owner is not None:
            os.fchown(handle, owner, -1)
    os.replace(new, path)


def make(directory: str, names: Sequence[str]) -> None:
    """Make keys."""
    if names:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    for name in names:
        write_private(path_of(directory, name), new_key() + "\n")


def remove(directory: str, names: Sequence[str]) -> None:
    """Remove keys that were made."""
    for name in names:
        os.remove(path_of(directory, name))
