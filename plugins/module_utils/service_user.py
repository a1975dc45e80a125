# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that run as a service's user from their first instruction on, with the variables that are theirs."""

from __future__ import annotations

import os
import pwd
from typing import Callable, Mapping

# What a process needs of the caller's variables; all else could change what is tried.
KEPT = ("PATH", "LANG", "LC_ALL", "TZ")


class NoSuchUser(Exception):
    """The message names the user."""


def variables(own: Mapping[str, str], home: str) -> dict[str, str]:
    """The variables of the process: a few of the caller's, and its own."""
    return {**{name: os.environ[name] for name in KEPT if name in os.environ}, **own, "HOME": home}


def becoming(user: str) -> Callable[[], None] | None:
    """What makes a new process the user's, as Popen's preexec_fn; None where it is the caller's anyway. Raises NoSuchUser."""
    if not user:
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise NoSuchUser(f"the user {user} does not exist; expected the one that runs the service") from error
    groups = os.getgrouplist(user, entry.pw_gid)

    def become() -> None:
        os.setgroups(groups)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        os.umask(0o077)

    return None if entry.pw_uid == os.geteuid() else become
