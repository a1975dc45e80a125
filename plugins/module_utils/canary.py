# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second proxy from a new configuration: started on a loopback socket of its own, asked, ended."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import socket
import subprocess
import tempfile
from typing import IO, Any, Iterator, Mapping, NamedTuple, Sequence

from . import canary_questions, generation_secrets, service_user
from .canary_questions import Place
from .process_identity import read

READY = b"ready"
# It has nobody's requests to finish when it is ended.
DRAIN_S = 1
END_S = 15.0
LAST_S = 1.0
TAIL_LINES, TAIL_CHARACTERS = 25, 3000


class CanaryFailure(Exception):
    """The canary did not come up, or did not stay; the message says why."""


class Wanted(NamedTuple):
    """Command, folder, variables, file of secret ones, user ("" for the caller), whom to ask, who serves, and two limits."""

    command: Sequence[str]
    folder: str
    environment: Mapping[str, str]
    secrets: str | None
    user: str
    questions: Sequence[Mapping[str, Any]]
    serving: Place | None
    start_timeout_s: float
    timeout_s: float


class Running(NamedTuple):
    """A canary that is up: where, its process, and what it said so far."""

    place: Place
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def has_ended(self, patience_s: float = 0.0) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience_s)
        return self.process.returncode is not None


def ask_all(wanted: Wanted) -> list[dict[str, Any]]:
    """All answers, as canary_questions.ask_all gives them. Raises CanaryFailure when it does not come up or ends meanwhile."""
    with running(wanted) as canary:
        asked = canary_questions.Asked(canary.place, wanted.serving, wanted.timeout_s, canary.has_ended)
        found = canary_questions.ask_all(asked, wanted.questions)
        # A connection is cut a moment before its process has ended.
        cut = any(one["status"] is None and not one["late"] for one in found)
        if canary.has_ended(LAST_S if cut else 0.0):
            code = canary.process.returncode
            raise CanaryFailure(f"it came up and ended with {code} while it was asked; it said last:\n{tail(canary.log)}")
        return found


@contextlib.contextmanager
def running(wanted: Wanted) -> Iterator[Running]:
    """Start it, wait until it is ready, and end it whatever happens."""
    key = f"sk-{secrets.token_hex(24)}"
    hears, says = os.pipe()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, hears)
        log = stack.enter_context(tempfile.TemporaryFile())
        # It alone keeps the socket: when it ends, whoever is connected hears of it at once.
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            try:
                process = start(wanted, key, listener, says, log)
            finally:
                os.close(says)
        stack.callback(end, process)
        await_ready(process, hears, wanted.start_timeout_s, log)
        yield Running(Place(url, key), process, log)


def start(wanted: Wanted, key: str, listener: socket.socket, says: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the process as its user."""
    own = {
        "LITELLM_MASTER_KEY": key,
        "ROUTER_LISTEN_FD": str(listener.fileno()),
        "ROUTER_READY_FD": str(says),
        "ROUTER_DRAIN_S": str(DRAIN_S),
    }
    secret = generation_secrets.parse_variables(read(wanted.secrets or ""))[1]
    given = {
        name: value for name, value in {**wanted.environment, **secret}.items() if not name.startswith(generation_secrets.SHARED)
    }
    try:
        return subprocess.Popen(
            list(wanted.command),
            cwd=wanted.folder,
            env=service_user.variables({**given, **own}, wanted.folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(listener.fileno(), says),
            preexec_fn=service_user.becoming(wanted.user),
            start_new_session=True,
        )
    except service_user.NoSuchUser as error:
        raise CanaryFailure(str(error)) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise CanaryFailure(f"it cannot be started with {wanted.command[0]}: {error}") from error


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
