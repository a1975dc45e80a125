"""A receipt of one engine with the names it can serve and the settings it runs with: what verify and install look at."""

from __future__ import annotations

import re
import subprocess
from typing import Any, Iterator
from urllib.parse import urlsplit

from .connection import Endpoint, RequestFailed
from .engine_log import file_lines, journal_lines
from .ollama_api import OllamaApi
from .process_identity import listener, listener_identity, read
from .residency import full_name, take
from .resident_engine import installed
from .server_settings import parse_environ, parse_server_config

CONFIGURED = re.compile(r'msg="server config"')
# A unit of systemd in /proc/PID/cgroup, both versions of control groups: the last part of the path.
UNIT = re.compile(r"/([^/]+)\.service$", re.MULTILINE)


def engine_receipt(engine: str, url: str, model: str | None = None) -> dict[str, Any]:
    """``residency.take`` plus ``available`` (names that can be asked for) and ``installed`` (of an Ollama: see
    ``resident_engine.stored``); both None where the engine does not tell. Without a model ``resident`` is None."""
    endpoint = Endpoint(url)
    try:
        receipt = take(endpoint, engine, model or "")
    finally:
        endpoint.close()
    receipt["resident"] = receipt["resident"] if model else None
    receipt.update(available=None, installed=None)
    if receipt["error"] is None and engine == "ollama":
        _with_store(url, receipt)
    elif receipt["error"] is None:
        receipt["available"] = [entry["name"] for entry in receipt["models"]] or None
    return receipt


def _with_store(url: str, receipt: dict[str, Any]) -> None:
    try:
        receipt["installed"] = installed(OllamaApi(url), [str(entry["name"]) for entry in receipt["models"]])
        receipt["available"] = sorted(full_name(entry["name"]) for entry in receipt["installed"])
    except RequestFailed as failure:
        receipt["error"] = failure.as_dict()


def engine_settings(pid: int | None, unit: str | None, log: str | None) -> dict[str, Any]:
    """With what a server runs: ``environment`` of its process, and ``effective``, the settings that an Ollama logged when it
    started, from the journal of a unit or a file. Each is None where it cannot be read; nothing is raised."""
    unit = unit or (unit_of(pid) if pid else None)
    pid = pid or (main_process(unit) if unit else None)
    return {"environment": environment_of(pid) if pid else None, "effective": _logged(pid, unit, log)}


def place_of(url: str) -> tuple[str, int] | None:
    """Host and port in an address, None where one is missing."""
    try:
        parts = urlsplit(url)
        return (parts.hostname, parts.port) if parts.hostname and parts.port else None
    except ValueError:
        return None


def serving_process(url: str) -> int | None:
    """The process of this host that answers at ``url``; None where there is none or we may not know."""
    place = place_of(url)
    return listener(*place) if place else None


def serving_identity(url: str) -> str | None:
    """What answers at ``url`` on this host, as a text that changes when it is started again."""
    place = place_of(url)
    return listener_identity(*place) if place else None


def environment_of(pid: int) -> dict[str, str] | None:
    """The variables of a process that may be shown; None where the system or its owner does not let us read them."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            return parse_environ(stream.read())
    except OSError:
        return None


def unit_of(pid: int) -> str | None:
    """The systemd unit that a process belongs to, without ``.service``."""
    found = UNIT.findall(read(f"/proc/{pid}/cgroup"))
    return found[0] if found else None


def main_process(unit: str) -> int | None:
    """The main process of a systemd unit."""
    command = ["systemctl", "show", "--property", "MainPID", "--value", "--", f"{unit}.service"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return int(said) or None if said.isdigit() else None


def _logged(pid: int | None, unit: str | None, log: str | None) -> dict[str, str] | None:
    """The settings of the latest start."""
    found = None
    try:
        for line in _lines(pid, unit, log):
            found = parse_server_config(line) or found
    except OSError:
        return found
    return found


def _lines(pid: int | None, unit: str | None, log: str | None) -> Iterator[str]:
    if log:
        return file_lines(log, CONFIGURED)
    return journal_lines(unit, pid, pattern=CONFIGURED) if unit else iter(())
