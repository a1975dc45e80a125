"""May a user read a file? Asked of the kernel, which knows modes, access lists and read-only mounts, and not worked out."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from dataclasses import dataclass
from typing import Any, Callable, Sequence

# Nobody's, for a user that is still to be made: it will have no more rights than that. nfs and most systems agree on it.
NOBODY = 65534
# Exit codes, at most 255, tell which part is closed: of the file itself, or of the path with links that leads to it.
MAX_PARTS = 120


class UnknownGroup(Exception):
    """A group that the host does not have; the message says which."""


@dataclass(frozen=True)
class Reader:
    """Who reads: numbers as the kernel takes them."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


def find_reader(name: str, groups: Sequence[str] = ()) -> Reader:
    """The user of this name with these groups besides; one that is not there yet has no right of its own. Raises UnknownGroup."""
    more = tuple(_group_number(group) for group in groups)
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return Reader(name, NOBODY, NOBODY, more)
    return Reader(name, user.pw_uid, user.pw_gid, (*os.getgrouplist(name, user.pw_gid), *more))


def _group_number(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise UnknownGroup(f"the host has no group {name}; name groups that exist, or none") from None


def closed_part(path: str, reader: Reader) -> str | None:
    """The first folder of ``path`` that ``reader`` may not enter, or the file that it may not read; None where it may read it.

    ``path``: absolute. Only root can ask for another user; for anybody else it is the own rights that are looked at.
    """
    real = os.path.realpath(path)
    parts = [*_parts(real), *(_parts(path) if path != real else [])]
    if os.geteuid() != 0:
        number = _first_closed(parts)
    else:
        child = os.fork()
        if child == 0:
            _answer_as(reader, parts)
        number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return parts[number - 1] if 0 < number <= len(parts) else None


def describe(part: str, reader: Reader) -> str:
    """What is closed to whom, with its owner and mode, and what would open it."""
    found = os.stat(part)
    kind, verb = ("folder", "enter") if stat.S_ISDIR(found.st_mode) else ("file", "read")
    owner, group = _name(pwd.getpwuid, found.st_uid), _name(grp.getgrgid, found.st_gid)
    return (
        f"{reader.name} may not {verb} {part} ({owner}:{group}, mode {stat.S_IMODE(found.st_mode):04o}); "
        f"give it a group that may, such as {group}, or open the {kind} to others"
    )


def _parts(path: str) -> list[str]:
    found = [path]
    while os.path.dirname(found[0]) != found[0] and len(found) < MAX_PARTS:
        found.insert(0, os.path.dirname(found[0]))
    return found


def _first_closed(parts: Sequence[str]) -> int:
    """Number of the first part that is closed to this process, from 1; 0 where none is."""
    for number, part in enumerate(parts, 1):
        if not os.access(part, os.X_OK if os.path.isdir(part) else os.R_OK):
            return number
    return 0


def _answer_as(reader: Reader, parts: Sequence[str]) -> None:
    """In a child: becomes the reader for good, and ends with the answer."""
    answer = 0
    try:
        os.setgroups(reader.groups)
        os.setgid(reader.gid)
        os.setuid(reader.uid)
        answer = _first_closed(parts)
    finally:
        os._exit(answer)


def _name(find: Callable[[int], Any], number: int) -> str:
    try:
        return str(find(number)[0])
    except KeyError:
        return str(number)
