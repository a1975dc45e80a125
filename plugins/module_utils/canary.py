# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second proxy from a new configuration: started on a loopback socket of its own, asked for every name, ended."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import select
import signal
import socket
import subprocess
import tempfile
import time
from typing import IO, Any, Callable, Iterator, Mapping, NamedTuple, Sequence

from . import generation_secrets, router_client
from .process_identity import read

READY = b"ready"
# It has nobody's requests to finish when it is ended.
DRAIN_S = 1
END_S = 15.0
TAIL_LINES, TAIL_CHARACTERS = 25, 3000
# What a process needs of the caller's variables; all else could change what is tried.
KEPT = ("PATH", "LANG", "LC_ALL", "TZ")


class CanaryFailure(Exception):
    """The canary did not come up; the message says why."""


class Wanted(NamedTuple):
    """Command, folder, variables, file of secret ones, user ("" for the caller), names, seconds to come up, seconds for all."""

    command: Sequence[str]
    folder: str
    environment: Mapping[str, str]
    secrets: str | None
    user: str
    names: Sequence[Mapping[str, Any]]
    start_timeout_s: float
    timeout_s: float


class Running(NamedTuple):
    """A canary that is up: where, and with which key."""

    url: str
    key: str


def ask_all(wanted: Wanted) -> list[dict[str, Any]]:
    """The answers of all names, as router_client.ask gives them. Raises CanaryFailure when it does not come up."""
    with running(wanted) as canary:
        ends = time.monotonic() + wanted.timeout_s
        return [ask(canary, name, ends) for name in wanted.names]


def ask(canary: Running, name: Mapping[str, Any], ends: float) -> dict[str, Any]:
    """One name's answer, within what is left of the time for all."""
    left_s = ends - time.monotonic()
    if left_s <= 0:
        return {**dict.fromkeys(("answered_by", "excerpt", "dimension")), "alias": name["name"], "seconds": 0.0, "error": LATE}
    return router_client.ask(canary.url, canary.key, name["name"], name["mode"], min(left_s, float(name["timeout_s"])))


LATE = "it was not asked, the time for all answers was over"


@contextlib.contextmanager
def running(wanted: Wanted) -> Iterator[Running]:
    """Start it, wait until it is ready, and end it whatever happens."""
    key = f"sk-{secrets.token_hex(24)}"
    hears, says = os.pipe()
    with socket.socket() as listener, tempfile.TemporaryFile() as log:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        try:
            process = start(wanted, key, listener, says, log)
        finally:
            os.close(says)
        try:
            await_ready(process, hears, wanted.start_timeout_s, log)
            yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}", key)
        finally:
            os.close(hears)
            end(process)


def start(wanted: Wanted, key: str, listener: socket.socket, says: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the process as its user."""
    own = {
        "LITELLM_MASTER_KEY": key,
        "ROUTER_LISTEN_FD": str(listener.fileno()),
        "ROUTER_READY_FD": str(says),
        "ROUTER_DRAIN_S": str(DRAIN_S),
        "HOME": wanted.folder,
    }
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    secret = generation_secrets.parse_variables(read(wanted.secrets or ""))[1]
    try:
        return subprocess.Popen(
            list(wanted.command),
            cwd=wanted.folder,
            env={**kept, **wanted.environment, **secret, **own},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(listener.fileno(), says),
            preexec_fn=becoming(wanted.user),
            start_new_session=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CanaryFailure(f"it cannot be started with {wanted.command[0]}: {error}") from error


def becoming(user: str) -> Callable[[], None] | None:
    """What makes a new process the user's; None where it is the caller's anyway."""
    if not user:
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise CanaryFailure(f"the user {user} does not exist; expected the one that runs the proxy") from error
    groups = os.getgrouplist(user, entry.pw_gid)

    def become() -> None:
        os.setgroups(groups)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        os.umask(0o077)

    return None if entry.pw_uid == os.geteuid() else become


def await_ready(process: subprocess.Popen[bytes], hears: int, limit_s: float, log: IO[bytes]) -> None:
    """Wait for the word of the process. The end of the pipe is the end of the process."""
    heard, _writable, _failed = select.select([hears], [], [], limit_s)
    if heard and os.read(hears, len(READY)) == READY:
        return
    why = "it ended before it answered" if heard else f"it did not answer within {limit_s:.0f} s"
    raise CanaryFailure(f"{why}; it said last:\n{tail(log)}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End it and whatever it has started."""
    for number, patience_s in ((signal.SIGTERM, END_S), (signal.SIGKILL, END_S)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(patience_s)
            return
        except subprocess.TimeoutExpired:
            continue


def tail(log: IO[bytes]) -> str:
    """The last lines of its output."""
    log.seek(0)
    lines = log.read().decode("utf-8", errors="replace").splitlines()
    return "\n".join(lines[-TAIL_LINES:])[-TAIL_CHARACTERS:] or "(nothing)"


def refusals(answers: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each name that did not answer."""
    return [f"{answer['alias']}: {answer['error']}" for answer in answers if answer["error"]]
