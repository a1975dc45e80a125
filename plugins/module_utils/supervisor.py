# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One supervisord of a user: started, asked through its Unix socket, shut down; and its programs.

A supervisord is known by its socket, which only its directory has, and by the identity (id and start) of its process.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
import xmlrpc.client
from typing import Any, Callable

from . import process_identity
from .supervisor_config import Layout

RPC_TIMEOUT_S = 30.0
START_TIMEOUT_S = 30.0
POLL_S = 0.1
# supervisor/xmlrpc.py, class Faults
NO_SUCH_PROGRAM, ABNORMAL_END, ALREADY_STARTED, NOT_RUNNING = 10, 40, 60, 70
LOG_TAIL_LINES = 30


class SupervisorFailure(Exception):
    """A supervisord or one of its programs is not as it should be; the message says which, what was found, what to do."""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__()
        self.path, self.timeout_s = path, timeout_s

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return UnixConnection(self.path, self.timeout_s)


def remote(place: Layout, timeout_s: float = RPC_TIMEOUT_S) -> Any:
    """supervisord's own procedures (`supervisor.*`)."""
    return xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=UnixTransport(place.socket, timeout_s)).supervisor


def daemon(place: Layout) -> process_identity.Process | None:
    """The running supervisord of this directory; None when there is none.

    Raises SupervisorFailure when the recorded process lives and does not answer: starting a second one would break both.
    """
    try:
        return process_identity.find(remote(place).getPID())
    except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
        recorded = read_record(place)
        if recorded is None:
            return None
        message = (
            f"supervisord (process {recorded.pid}, {place.directory}) runs and does not answer at {place.socket} "
            f"({error}); expected an answer; end it with `kill {recorded.pid}` and run again"
        )
        raise SupervisorFailure(message) from error


def read_record(place: Layout) -> process_identity.Process | None:
    """The recorded supervisord when that very process still lives."""
    try:
        recorded = json.loads(process_identity.read(place.record) or "{}")
        alive = process_identity.find(recorded.get("pid"))
    except (ValueError, AttributeError):
        return None
    return alive if alive and alive.identity == recorded.get("identity") else None


def write_private(path: str, text: str) -> None:
    """Write a file that only its user may read, whole or not at all."""
    handle = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


def make_directories(place: Layout) -> None:
    """Make the directories of a supervisord; refuse a socket's directory that somebody else prepared."""
    os.makedirs(place.directory, mode=0o700, exist_ok=True)
    for name in ("programs", "logs"):
        os.makedirs(place.file(name), mode=0o700, exist_ok=True)
    if not place.short_directory:
        return
    with contextlib.suppress(FileExistsError):
        os.mkdir(place.short_directory, 0o700)
    found = os.lstat(place.short_directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise SupervisorFailure(
            f"{place.short_directory} is not a directory of this user with mode 0700; it shall hold the "
            f"socket of {place.directory}; remove it, or choose a shorter directory"
        )


def start(place: Layout, executable: str, timeout_s: float = START_TIMEOUT_S) -> process_identity.Process:
    """Start supervisord with the configuration that lies there, record it, and wait until it answers."""
    end_orphans(place)
    # supervisord opens its log before it sets its mask.
    os.close(os.open(place.own_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    try:
        done = subprocess.run(
            [executable, "-c", place.configuration],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=daemon_environment(),
            cwd=place.directory,
            timeout=timeout_s,
            check=False,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SupervisorFailure(f"supervisord cannot be started with {executable}: {error}") from error
    if done.returncode != 0:
        raise SupervisorFailure(f"supervisord ended with {done.returncode}, expected 0: {done.stdout.strip()}")
    running: process_identity.Process | None = wait_for(lambda: daemon(place), timeout_s)
    if running is None:
        raise SupervisorFailure(
            f"supervisord did not answer at {place.socket} within {timeout_s:.0f} s; its log ends with:\n{tail(place.own_log)}"
        )
    write_private(place.record, json.dumps(running._asdict()) + "\n")
    return running


def daemon_environment() -> dict[str, str]:
    """What programs may inherit: where things are and the language, nothing that the caller happens to carry."""
    kept = ("HOME", "USER", "LOGNAME", "PATH", "LANG", "LC_ALL", "TMPDIR", "TZ")
    return {name: os.environ[name] for name in kept if name in os.environ}


def wait_for(question: Callable[[], Any], timeout_s: float) -> Any:
    """Ask until the answer is true or the time is over; the last answer."""
    end = time.monotonic() + timeout_s
    answer = question()
    while not answer and time.monotonic() < end:
        time.sleep(POLL_S)
        answer = question()
    return answer


def shut_down(place: Layout, timeout_s: float) -> None:
    """Shut the running supervisord down, its programs with it, and wait until that very process is gone."""
    running = daemon(place)
    if running is not None:
        remote(place).shutdown()
        if not wait_for(lambda: is_gone(running), timeout_s):
            raise SupervisorFailure(
                f"supervisord (process {running.pid}) did not end within {timeout_s:.0f} s of its shutdown; "
                f"its log ends with:\n{tail(place.own_log)}"
            )
    end_orphans(place)


def is_gone(process: process_identity.Process) -> bool:
    """Whether this very process has ended."""
    now = process_identity.find(process.pid)
    return now is None or now.identity != process.identity


def orphans(place: Layout) -> dict[str, process_identity.Process]:
    """Programs that outlived their killed supervisord, by name; each carries the socket of its supervisord in its environment.

    Where processes do not show their environment (macOS) none are found.
    """
    mark, found = f"SUPERVISOR_SERVER_URL=unix://{place.socket}", {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        variables = process_identity.read(f"/proc/{entry}/environ").split("\0") if entry.isdigit() else []
        process = process_identity.find(int(entry)) if mark in variables else None
        if process is not None:
            found[value_of("SUPERVISOR_PROCESS_NAME", variables) or entry] = process
    return found


def value_of(name: str, variables: list[str]) -> str:
    """A variable's value out of lines NAME=value; "" when it is not there."""
    return next((text[len(name) + 1 :] for text in variables if text.startswith(name + "=")), "")


def end_orphans(place: Layout, timeout_s: float = 15.0) -> None:
    """End the programs that outlived their supervisord: they hold the ports of their successors."""
    for name, process in orphans(place).items():
        if not end(process, signal.SIGTERM, timeout_s) and not end(process, signal.SIGKILL, timeout_s):
            raise SupervisorFailure(
                f"program {name} (process {process.pid}) of a supervisord that is gone does not end; "
                f"end it with `kill {process.pid}` and run again"
            )


def end(process: process_identity.Process, number: signal.Signals, timeout_s: float) -> bool:
    """Send a signal to this very process; whether it has ended within the time."""
    if not is_gone(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
    return bool(wait_for(lambda: is_gone(process), timeout_s))


def program_info(place: Layout, name: str) -> dict[str, Any] | None:
    """What a running supervisord knows of a program; None when it does not know it."""
    try:
        return dict(remote(place).getProcessInfo(name))
    except xmlrpc.client.Fault as fault:
        if fault.faultCode == NO_SUCH_PROGRAM:
            return None
        raise SupervisorFailure(f"program {name}: supervisord answers {fault.faultString}") from fault


def adopt(place: Layout, name: str, stop_timeout_s: float) -> None:
    """Make a running supervisord read its files again and take over this one program as described there.

    A program that was described differently is stopped before, which may take as long as it is given for that.
    """
    rpc = remote(place)
    try:
        added, changed, _removed = rpc.reloadConfig()[0]
    except xmlrpc.client.Fault as fault:
        raise SupervisorFailure(f"supervisord refuses its configuration in {place.directory}: {fault.faultString}") from fault
    if name in changed:
        forget(place, name, stop_timeout_s)
    if name in changed or name in added:
        rpc.addProcessGroup(name)


def forget(place: Layout, name: str, stop_timeout_s: float) -> None:
    """Stop a program and make the running supervisord forget it."""
    if program_info(place, name) is None:
        return
    stop(place, name, stop_timeout_s)
    remote(place).removeProcessGroup(name)


def stop(place: Layout, name: str, stop_timeout_s: float) -> None:
    """Stop a program and wait until it has ended."""
    try:
        remote(place).stopProcess(name, False)
    except xmlrpc.client.Fault as fault:
        # Also of one that was told to stop before and has not ended yet.
        if fault.faultCode != NOT_RUNNING:
            raise SupervisorFailure(f"program {name} cannot be stopped: {fault.faultString}") from fault
    await_end(place, name, stop_timeout_s)


def await_end(place: Layout, name: str, stop_timeout_s: float) -> None:
    """Wait until a program that was told to stop has ended: before, supervisord neither forgets it nor starts it again.

    supervisord kills it when its time is over, so more than that is not needed.
    """
    limit_s = stop_timeout_s + RPC_TIMEOUT_S
    if not wait_for(lambda: (program_info(place, name) or {}).get("statename") != "STOPPING", limit_s):
        pid = (program_info(place, name) or {}).get("pid")
        raise SupervisorFailure(
            f"program {name} (process {pid}) was told to stop and did not end within {limit_s:.0f} s; "
            f"end it with `kill -9 {pid}` and run again"
        )


def hang_up(place: Layout, name: str) -> None:
    """Send SIGHUP to a program."""
    try:
        remote(place).signalProcess(name, "HUP")
    except xmlrpc.client.Fault as fault:
        raise SupervisorFailure(f"program {name} cannot be told to reload: {fault.faultString}") from fault


def launch(place: Layout, name: str, stop_timeout_s: float) -> None:
    """Ask for a program to be started, after its end where it is stopping; whether it lives is seen by `wait_until_running`."""
    await_end(place, name, stop_timeout_s)
    try:
        remote(place).startProcess(name, False)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode not in (ALREADY_STARTED, ABNORMAL_END):
            raise SupervisorFailure(f"program {name} cannot be started: {fault.faultString}") from fault


def wait_until_running(place: Layout, name: str, timeout_s: float) -> dict[str, Any]:
    """Wait until a program runs. Raises SupervisorFailure with the end of its log when it ends instead, or takes too long."""
    end = time.monotonic() + timeout_s
    while True:
        info = program_info(place, name) or {}
        state = info.get("statename", "unknown to supervisord")
        if state == "RUNNING":
            return info
        if state in ("BACKOFF", "FATAL", "EXITED") or time.monotonic() > end:
            raise SupervisorFailure(
                f"program {name} is {state}, expected RUNNING{spawn_error(info)}; its log "
                f"({place.program_log(name)}) ends with:\n{tail(place.program_log(name))}"
            )
        time.sleep(POLL_S)


def spawn_error(info: dict[str, Any]) -> str:
    """supervisord's own words on why a program does not run, in parentheses."""
    return f" ({info['spawnerr']})" if info.get("spawnerr") else ""


def tail(path: str, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log."""
    return "\n".join(process_identity.read(path).splitlines()[-lines:]) or "(nothing)"


def remove_files(place: Layout) -> None:
    """Remove what a supervisord that is shut down leaves; its directory too when nothing else is in it."""
    for name in ("programs", "logs"):
        shutil.rmtree(place.file(name), ignore_errors=True)
    for path in (place.configuration, place.pid_file, place.record, place.own_log, place.own_log + ".1", place.socket):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
    for folder in (place.short_directory, place.directory):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
