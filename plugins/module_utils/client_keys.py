# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of the router's clients: one file per generated key, and the table of digests that the proxy reads."""

from __future__ import annotations

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
    given = [key for name, key in keys.items() if key is not None and name in models]
    if len(set(given)) != len(given):
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


def fingerprint(text: str) -> str:
    """Stands for a table: another table has another."""
    return hashlib.sha256(text.encode()).hexdigest()


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


def write_private(path: str, text: str) -> None:
    """Write a file that only its user may read, whole or not at all."""
    handle = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


def carry_out(directory: str, needed: Work) -> None:
    """Make and remove generated keys."""
    if needed.make:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    for name in needed.make:
        write_private(path_of(directory, name), new_key() + "\n")
    for name in needed.remove:
        os.remove(path_of(directory, name))
