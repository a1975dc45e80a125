# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a loaded model has taken, by the word of its engine: its log, its list of loaded models, and the GPUs' driver."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from typing import Any, Iterable, Iterator

from . import process_identity
from .connection import Endpoint, RequestFailed
from .engine_log import file_lines, journal_lines
from .engine_memory import LoadReport, load_reports
from .gpu_processes import gpu_processes
from .machine_memory import Run, run
from .residency import RECEIPT_TIMEOUT_S, full_name, take
from .stream import read_all, translated

MIB = 2**20
BLOB = re.compile(r"^FROM\s+\S*(sha256[-:][0-9a-f]{64})\s*$", re.MULTILINE)
# llama-server b10488 and newer: at 3, their default, they do not tell what they allocate.
SILENT = "the log does not tell what was allocated: llama-server does from --log-verbosity 4 on"


def last_report(lines: Iterable[str], blob: str | None = None) -> LoadReport | None:
    """The newest load in a log; with ``blob`` the newest load of that file of weights."""
    found = [report for report in load_reports(lines) if blob is None or blob in str(report.model_path)]
    return found[-1] if found else None


def since_start(lines: Iterable[str]) -> list[str]:
    """The lines of a llama-server since it was started last: what one before it took is no news of this one."""
    found: list[str] = []
    for line in lines:
        if "load_model: loading model '" in line:
            found.clear()
        found.append(line)
    return found


def blob_of(endpoint: Endpoint, model: str) -> str | None:
    """The file of a model's weights in Ollama's store (``sha256-…``), by its own word; asking loads nothing."""
    payload = json.dumps({"model": model}).encode()
    endpoint.open(RECEIPT_TIMEOUT_S)
    with translated(endpoint.clock):
        endpoint.start("POST", "/api/show", payload, RECEIPT_TIMEOUT_S)
        text = read_all(endpoint.response(), endpoint.clock)
    try:
        said = json.loads(text)
    except ValueError:
        return None
    found = BLOB.search(str(said.get("modelfile") or "")) if isinstance(said, dict) else None
    return found[1].replace(":", "-") if found else None


def process_with(word: str, folder: str = "/proc") -> int | None:
    """A process that was started with this word in its command line; None where nobody can tell."""
    names = [name for name in os.listdir(folder) if name.isdigit()] if os.path.isdir(folder) else []
    for name in sorted(names, key=int):
        if word in process_identity.read(f"{folder}/{name}/cmdline"):
            return int(name)
    return None


def log_lines(log: str | None, unit: str | None, pid: int | None) -> Iterator[str]:
    """The log as a file, else as the journal of a unit; nothing where neither is named."""
    if log:
        return file_lines(log)
    return journal_lines(unit, pid) if unit else iter(())


def of_llama_cpp(log: str | None, unit: str | None, pid: int | None, ask: Run = run) -> dict[str, Any]:
    """What the process of one model has taken. Returns process, report, gpus and notes; what is not known is None."""
    process = process_identity.find(pid)
    if process is None:
        return {**nothing(), "notes": ["no process runs"]}
    report, notes = _read(log, unit, pid, None)
    return {**nothing(), "process": process._asdict(), "report": report, "gpus": gpu_processes(pid, ask), "notes": notes}


def of_ollama(url: str, model: str, log: str | None, unit: str | None, ask: Run = run) -> dict[str, Any]:
    """What a model that an Ollama keeps loaded has taken; its log is read where it can be."""
    endpoint = Endpoint(url)
    try:
        receipt = take(endpoint, "ollama", model)
        shown = next((item for item in receipt["models"] if full_name(item["name"]) == full_name(model)), None)
        if shown is None:
            return {**nothing(), "notes": [receipt["error"]["message"] if receipt["error"] else "is not loaded"]}
        blob = blob_of(endpoint, model) if log or unit else None
    except RequestFailed as failure:
        return {**nothing(), "notes": [str(failure)]}
    finally:
        endpoint.close()
    pid = process_with(blob) if blob else None
    process = process_identity.find(pid)
    report, notes = _read(log, unit, None, blob) if blob else (None, [])
    sizes = {f"shown_{key}": _mib(shown[f"{name}_bytes"]) for key, name in (("mib", "size"), ("gpu_mib", "size_vram"))}
    known = {"process": process._asdict() if process else None, "report": report, "gpus": gpu_processes(pid, ask)}
    return {**nothing(), **known, **sizes, "notes": notes}


def nothing() -> dict[str, Any]:
    """All that may be known, not known."""
    return {"process": None, "report": None, "shown_mib": None, "shown_gpu_mib": None, "gpus": None, "notes": []}


def _mib(size_bytes: int | None) -> float | None:
    return None if size_bytes is None else size_bytes / MIB


def _read(log: str | None, unit: str | None, pid: int | None, blob: str | None) -> tuple[dict[str, Any] | None, list[str]]:
    try:
        lines = log_lines(log, unit, pid)
        report = last_report(since_start(lines) if blob is None else lines, blob)
    except OSError as error:
        return None, [f"the log cannot be read: {error}"]
    return (asdict(report), []) if report else (None, [SILENT if blob is None else "the log does not hold this load any more"])
