# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the resident set of an Ollama: looks, loads again what is missing, and writes what it saw.

    python3 -m homelab_llm.residency_watchdog --configuration FILE [--every SECONDS]

Runs on the host without Ansible, from a folder ``homelab_llm`` that holds exactly FILES. Without --every it looks once.
FILE is a JSON object: url, models (as of the module ollama_residency), state_directory, load_timeout_s. Writes
residency.json, residency.prom (for Prometheus' node exporter) and events.jsonl. A dead engine is
recorded and no error. Exit status: 0, or 2 where the configuration is wrong, or 1 where files cannot be written.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any, Mapping, Sequence, TextIO
from urllib.parse import urlsplit

from .process_identity import listener_identity
from .residency_files import Busy, append_events, locked, read_object, write_whole
from .residency_receipt import metrics_text, receipt_document
from .residency_state import State, event, observe, restored, settle, waiting
from .resident_engine import LOAD_TIMEOUT_S, ResidentEngine
from .resident_loading import Outcome, reach
from .resident_set import Expected, expected_models, findings

# This file and everything of ours that it imports: what the role copies. A test follows the imports.
FILES = (
    "connection.py",
    "events.py",
    "ollama_api.py",
    "process_identity.py",
    "residency.py",
    "residency_files.py",
    "residency_receipt.py",
    "residency_state.py",
    "residency_watchdog.py",
    "resident_engine.py",
    "resident_loading.py",
    "resident_set.py",
    "stream.py",
)
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Configuration:
    """What to watch, and where to write."""

    url: str
    expected: tuple[Expected, ...]
    state_directory: str
    load_timeout_s: float

    @property
    def listener(self) -> tuple[str, int] | None:
        """Host and port of ``url``, by which a restart of the engine is told. Raises ValueError."""
        parts = urlsplit(self.url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
        return (parts.hostname, port) if parts.hostname and port else None


def configuration(path: str) -> Configuration:
    """The configuration in a file. Raises ValueError that says what was got and what is expected."""
    try:
        given = read_object(path)
    except OSError as error:
        raise ValueError(f"{path}: {error}") from error
    if given is None:
        raise ValueError(f"{path}: there is no such file")
    for key in ("url", "state_directory"):
        if not isinstance(given.get(key), str):
            raise ValueError(f"{path}: {key}: got {given.get(key)!r}, expected text")
    timeout = given.get("load_timeout_s", LOAD_TIMEOUT_S)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0:
        raise ValueError(f"{path}: load_timeout_s: got {timeout!r}, expected seconds")
    try:
        expected = tuple(expected_models(given.get("models")))
        found = Configuration(given["url"], expected, given["state_directory"], timeout)
        if found.listener is None:
            raise ValueError(f"url: got {found.url!r}, expected http://ADDRESS:PORT")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return found


def watch(wanted: Configuration, now: float) -> list[dict[str, Any]]:
    """One look, with all that follows from it. Returns the events. Raises Busy, and OSError where files cannot be written."""
    os.makedirs(wanted.state_directory, exist_ok=True)
    with locked(wanted.state_directory):
        state, events = remembered(wanted, now)
        engine = ResidentEngine(wanted.url, wanted.load_timeout_s)
        receipt = engine.look()
        instance = listener_identity(*wanted.listener) if wanted.listener else None
        events += observe(state, wanted.expected, receipt, instance, now)
        state.last_events += events
        unwritten = kept_before(wanted, state, receipt, events, now)
        outcome = reach(engine, wanted.expected, receipt, waiting(state, now))
        now = max(now, time.time())
        done = settle(state, wanted.expected, outcome, now)
        state.last_events += done
        record(wanted, state, outcome, [*unwritten, *done], now)
    return [*events, *done]


def remembered(wanted: Configuration, now: float) -> tuple[State, list[dict[str, Any]]]:
    """The state of the last run; what cannot be read is begun anew, and said."""
    try:
        return restored(read_object(os.path.join(wanted.state_directory, "residency.json")), wanted.expected, now), []
    except ValueError as error:
        return restored(None, wanted.expected, now), [event(now, "state_lost", None, f"counters begin anew: {error}")]


def kept_before(
    wanted: Configuration, state: State, receipt: dict[str, Any], events: list[dict[str, Any]], now: float
) -> list[dict[str, Any]]:
    """Write what was seen before anything is loaded: that takes minutes, in which this process may be ended.

    Returns the events that are still to be written. A full disk keeps no model from being loaded.
    """
    if not events or receipt["error"] is not None:
        return events
    try:
        keep(wanted, state, Outcome(receipt, findings(wanted.expected, receipt)), events, now)
    except OSError:
        return events
    return []


def keep(wanted: Configuration, state: State, outcome: Outcome, events: list[dict[str, Any]], now: float) -> dict[str, Any]:
    """Write the state, which is returned, and add events to theirs. Raises OSError."""
    document, folder = receipt_document(state, wanted.expected, outcome, wanted.url, now), wanted.state_directory
    write_whole(os.path.join(folder, "residency.json"), json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    append_events(os.path.join(folder, "events.jsonl"), events)
    return document


def record(wanted: Configuration, state: State, outcome: Outcome, events: list[dict[str, Any]], now: float) -> None:
    """Write the three files. Raises OSError."""
    text = metrics_text(keep(wanted, state, outcome, events, now))
    write_whole(os.path.join(wanted.state_directory, "residency.prom"), text)


def turn(path: str) -> int:
    """One run, told on standard output; its exit status."""
    try:
        wanted = configuration(path)
    except ValueError as error:
        say(f"configuration: {error}", sys.stderr)
        return 2
    try:
        events = watch(wanted, time.time())
    except Busy as error:
        say(str(error))
        return 0
    except OSError as error:
        say(f"cannot write what was seen: {error}", sys.stderr)
        return 1
    for entry in events:
        say(told(entry))
    return 0


def say(text: str, stream: TextIO | None = None) -> None:
    """A line of the log, at once."""
    stream = stream or sys.stdout
    stream.write(f"{text}\n")
    stream.flush()


def told(entry: Mapping[str, Any]) -> str:
    """An event as a line of a log."""
    return f"{entry['kind']}: {entry['model'] or 'engine'}: {entry['text']}"


def _end(_number: int, _frame: Any) -> None:
    """Files are written whole or not at all and the lock goes with the process, so it can end anywhere."""
    raise SystemExit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs once, or for ever. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="residency_watchdog", description="Keeps the resident set of an Ollama.")
    parser.add_argument("--configuration", required=True, metavar="FILE", help="what to watch, JSON")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="look again and again, so long after the last look")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)
    while True:
        status = turn(options.configuration)
        if not options.every or status == 2:
            return status
        time.sleep(options.every)


if __name__ == "__main__":
    raise SystemExit(main())
