# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one generation of the router keeps to itself: a file of variables, and the table of digests of its clients' keys.

Both lie in the generation's folder. They are compared with those of the generation that serves: as long as nothing is another,
the *edition* stays, two random words in the file of variables: one for everything, one for what the engines may ask for, which
only a canary can try. It stands for the secrets where others can see it: a digest would let a weak password be guessed.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import stat
from typing import Any, Mapping, NamedTuple

from . import client_keys
from .process_identity import read

MASTER = "LITELLM_MASTER_KEY"
VARIABLES, TABLE = "router.env", "clients.json"
EDITION = "# edition "
EDITION_BYTES = 8
BETWEEN = "-"
# Variables with these beginnings lead to what the proxy that serves leads to as well, whatever the configuration says.
SHARED = ("DATABASE_", "DIRECT_URL", "REDIS_")
# As the proxy's environment takes it.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PRIVATE = 0o600


class SecretsError(ValueError):
    """A secret cannot be used; the message names it and never shows it."""


class Given(NamedTuple):
    """What the inventory says: variables (the master key may be None), clients' models and keys, and the folder of made keys."""

    variables: Mapping[str, Any]
    models: Mapping[str, Any]
    keys: Mapping[str, Any]
    clients: str


class Kept(NamedTuple):
    """What a generation has: edition, variables, table."""

    edition: str
    variables: dict[str, str]
    table: str


def check(given: Given) -> None:
    """Refuse what the proxy would misread. Raises SecretsError or client_keys.ClientError."""
    for name, value in given.variables.items():
        if not NAME.fullmatch(name):
            raise SecretsError(f"secret {name!r}: expected the name of a variable, of letters, digits and underscores")
        if value is None and name == MASTER:
            continue
        if not isinstance(value, str) or value != value.strip() or len(value.splitlines()) != 1 or "\0" in value:
            raise SecretsError(f"secret {name} (not shown): expected a text of one line without spaces around it")
    client_keys.check(given.models, given.keys)


def variables_text(edition: str, variables: Mapping[str, str]) -> str:
    """router.env: the edition, and one NAME=value a line."""
    return "".join([f"{EDITION}{edition}\n", *(f"{name}={variables[name]}\n" for name in sorted(variables))])


def parse_variables(text: str) -> tuple[str, dict[str, str]]:
    """Edition and variables; an earlier layout's file has no edition."""
    lines = text.splitlines()
    edition = next((line[len(EDITION) :].strip() for line in lines if line.startswith(EDITION)), "")
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return edition, {name: value for name, sign, value in pairs if sign}


def kept_in(folder: str) -> Kept:
    """What lies in a generation's folder; nothing where there is none."""
    edition, variables = parse_variables(read(os.path.join(folder, VARIABLES)) or "")
    return Kept(edition, variables, read(os.path.join(folder, TABLE)) or "")


def master_of(given: Given, current: Kept, former: str) -> str | None:
    """The master key: the given one, else that of the generation that serves, else that of an earlier layout's file."""
    found = [given.variables.get(MASTER), current.variables.get(MASTER), parse_variables(read(former) or "")[1].get(MASTER)]
    return next((key for key in found if key), None)


def table_of(given: Given, master: str | None) -> str:
    """The clients' table, empty without clients; a key that is yet to be made has a line that no table on a host has."""
    present = client_keys.present_names(given.clients)
    made = client_keys.read_keys(given.clients, [name for name in present if name in given.models])
    keys = {**made, **{name: key for name, key in given.keys.items() if key is not None and name in given.models}}
    client_keys.check_distinct(keys, master)
    return client_keys.table(given.models, keys) if given.models else ""


def engine_variables(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Those that engines may ask for: LiteLLM knows names of its own beside those that stand in the configuration."""
    return {name: value for name, value in variables.items() if name != MASTER and not name.startswith(SHARED)}


def edition_of(given: Given, current: Kept, former: str) -> str:
    """The edition of the generation that serves where all secrets are its own, else one with a new word for what is another."""
    check(given)
    master = master_of(given, current, former)
    table = table_of(given, master)
    same = {**given.variables, MASTER: master} == current.variables and table == current.table
    if same and engines_of(current.edition):
        return current.edition
    kept = engines_of(current.edition) if engine_variables(given.variables) == engine_variables(current.variables) else ""
    return f"{_word()}{BETWEEN}{kept or _word()}"


def engines_of(edition: str) -> str:
    """The word for what engines may ask for; an earlier layout's edition has none."""
    return edition.partition(BETWEEN)[2]


def _word() -> str:
    return secrets.token_hex(EDITION_BYTES)


def write(folder: str, edition: str, given: Given, current: Kept, former: str, owner: str, dry: bool) -> bool:
    """Write both files for their owner (the caller where it is empty); whether anything was, or would be, another."""
    master = master_of(given, current, former) or client_keys.new_key()
    wanted = {VARIABLES: variables_text(edition, {**given.variables, MASTER: master}), TABLE: table_of(given, master)}
    paths = {os.path.join(folder, name): text for name, text in wanted.items() if text}
    wrong = [path for path, text in paths.items() if read(path) != text or not is_private(path, owner)]
    if not dry:
        for path in wrong:
            client_keys.write_private(path, paths[path], pwd.getpwnam(owner).pw_uid if owner else None)
    return bool(wrong)


def is_private(path: str, owner: str) -> bool:
    """Whether a file that exists belongs to its owner alone."""
    found = os.lstat(path)
    try:
        mine = not owner or found.st_uid == pwd.getpwnam(owner).pw_uid
    except KeyError:
        # In check mode a new user is not made.
        return False
    return mine and stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) == PRIVATE
