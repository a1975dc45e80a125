# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One program under a supervisord: compare what is wanted with what is there, then act.

`Observed` holds everything that is looked at, `decide` is the whole decision, and `act` carries it out.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any, NamedTuple

from . import process_identity, supervisor
from .supervisor_config import Layout, Program, daemon_text, program_text

# States in which supervisord keeps a program going (supervisor/states.py).
ALIVE = ("RUNNING", "STARTING")
# States in which there is something to stop, or to wait for.
NOT_STOPPED = (*ALIVE, "BACKOFF", "STOPPING")


class Observed(NamedTuple):
    """What is there: the two configurations as text ("" when missing), the daemon, the program's state, the other programs."""

    daemon_text: str
    program_text: str
    daemon: process_identity.Process | None
    state: str | None
    others: tuple[str, ...]


class Decision(NamedTuple):
    """What has to be done, in this order."""

    shut_down: bool = False
    write: bool = False
    start_daemon: bool = False
    stop: bool = False
    launch: bool = False
    forget: bool = False
    hang_up: bool = False

    @property
    def changed(self) -> bool:
        return any(self)


def observe(place: Layout, name: str) -> Observed:
    """Look; nothing is touched."""
    running = supervisor.daemon(place)
    info = supervisor.program_info(place, name) if running else None
    return Observed(
        process_identity.read(place.configuration),
        process_identity.read(place.program_file(name)),
        running,
        info["statename"] if info else None,
        tuple(sorted(set(program_names(place)) - {name})),
    )


def program_names(place: Layout) -> list[str]:
    """The programs that are described in a supervisord's directory."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(name[: -len(".conf")] for name in os.listdir(place.file("programs")) if name.endswith(".conf"))
    return []


def decide(wanted: str, daemon_wanted: str, program_wanted: str, there: Observed, hang_up: bool = False) -> Decision:
    """What has to be done to bring a program to a state: started, restarted, stopped or absent.

    With `hang_up` a program that goes on gets SIGHUP; one that is started anyway needs none.
    """
    running = there.daemon is not None
    if wanted == "absent":
        known = bool(there.program_text) or there.state is not None
        last = not there.others and (known or running or bool(there.daemon_text))
        return Decision(shut_down=last and running, forget=known or last)
    described = there.program_text == program_wanted and there.daemon_text == daemon_wanted
    # supervisord reads its own section only when it starts.
    other_daemon = running and there.daemon_text != daemon_wanted
    start_daemon = not running or other_daemon
    if wanted == "stopped":
        return Decision(shut_down=other_daemon, write=not described, start_daemon=other_daemon, stop=there.state in NOT_STOPPED)
    alive = there.state in ALIVE and described and not start_daemon
    return Decision(
        shut_down=other_daemon,
        write=not described,
        start_daemon=start_daemon,
        stop=wanted == "restarted" and there.state in ALIVE and described and not start_daemon,
        launch=not alive or wanted == "restarted",
        hang_up=hang_up and alive and wanted == "started",
    )


def act(decision: Decision, place: Layout, program: Program, executable: str, start_timeout_s: float) -> None:
    """Carry a decision out. Raises SupervisorFailure; a program that does not come up is named with the end of its log."""
    described = stop_timeouts(place)
    stop_timeout_s = max(program.stop_timeout_s, described.get(program.name, 0))
    if decision.shut_down:
        supervisor.shut_down(place, max([stop_timeout_s, *described.values()]) + supervisor.RPC_TIMEOUT_S)
    if decision.forget:
        remove(place, program.name, stop_timeout_s)
        return
    if decision.write or decision.start_daemon:
        supervisor.make_directories(place)
        supervisor.write_private(place.configuration, daemon_text(place, os.geteuid() == 0))
        supervisor.write_private(place.program_file(program.name), program_text(program, place))
    if decision.start_daemon:
        supervisor.start(place, executable)
    if supervisor.daemon(place) is None:
        return
    if decision.hang_up:
        supervisor.hang_up(place, program.name)
        return
    supervisor.adopt(place, program.name, stop_timeout_s)
    if decision.stop:
        supervisor.stop(place, program.name, stop_timeout_s)
    if decision.launch:
        supervisor.launch(place, program.name, stop_timeout_s)
        supervisor.wait_until_running(place, program.name, start_timeout_s)


def stop_timeouts(place: Layout) -> dict[str, int]:
    """How long each program may take to end, as it is described now: the running one was started with that."""
    texts = {name: process_identity.read(place.program_file(name)) for name in program_names(place)}
    found = {name: re.search(r"^stopwaitsecs=(\d+)$", text, re.MULTILINE) for name, text in texts.items()}
    return {name: int(match[1]) for name, match in found.items() if match}


def remove(place: Layout, name: str, stop_timeout_s: float) -> None:
    """Make supervisord forget a program, remove its files, and those of supervisord itself after the last program."""
    running = supervisor.daemon(place) is not None
    if running:
        supervisor.forget(place, name, stop_timeout_s)
    log = place.program_log(name)
    for path in (place.program_file(name), log, *(f"{log}.{number}" for number in range(1, 4))):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
    if not running and not program_names(place):
        supervisor.end_orphans(place)
        supervisor.remove_files(place)


def services(place: Layout) -> list[dict[str, Any]]:
    """Every described program with its state (supervisord's word in lower case, `orphaned` or `stopped`), process and ports."""
    running = supervisor.daemon(place)
    left = {} if running else supervisor.orphans(place)
    found = []
    for name in program_names(place):
        info = (supervisor.program_info(place, name) or {}) if running else {}
        process = process_identity.find(info.get("pid")) if running else left.get(name)
        state = info.get("statename", "STOPPED").lower() if running else ("orphaned" if process else "stopped")
        found.append({**service(name, state, process), "log": place.program_log(name)})
    return found


def service(name: str, state: str, process: process_identity.Process | None) -> dict[str, Any]:
    """One service as a plain dict; what cannot be told is None."""
    return {
        "name": name,
        "state": state,
        "pid": process.pid if process else None,
        "identity": process.identity if process else None,
        "started_at": process.started_at if process else None,
        "ports": process_identity.listening_ports([process.pid])[process.pid] if process else [],
        "log": None,
    }
