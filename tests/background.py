"""A process that serves the hosts of a molecule scenario while its steps run: started by one step, ended by another.

It is a module of the tests, called with the word `serve`; servers.json in the scenario's folder says that it serves, and where.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# One that is forgotten ends by itself.
LIFE_S = 3600.0
START_S = 60.0


def start(module: str, folder: Path) -> None:
    """Start the process and wait until it serves; SystemExit with its last words where it does not."""
    with (folder / "servers.log").open("wb") as log:
        command = [sys.executable, "-m", module, "serve"]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    (folder / "servers.pid").write_text(str(process.pid))
    ends = time.monotonic() + START_S
    while not (folder / "servers.json").is_file():
        if process.poll() is not None or time.monotonic() > ends:
            raise SystemExit(f"the servers do not start: {(folder / 'servers.log').read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)
    print((folder / "servers.json").read_text(), flush=True)


def end(module: str, folder: Path) -> None:
    """End the process, if it is still that one."""
    file = folder / "servers.pid"
    if not file.is_file():
        return
    process = Path("/proc", file.read_text())
    with contextlib.suppress(OSError):
        if module.encode() in (process / "cmdline").read_bytes():
            os.kill(int(process.name), signal.SIGTERM)
    ends = time.monotonic() + START_S
    while time.monotonic() < ends and (process / "cmdline").is_file() and (process / "cmdline").read_bytes():
        time.sleep(0.1)
    file.unlink()


def announce(folder: Path, **facts: Any) -> None:
    """In the process: tell that it serves, and what others have to know of it."""
    unfinished = folder / "servers.unfinished"
    unfinished.write_text(json.dumps({**facts, "process": os.getpid()}))
    unfinished.rename(folder / "servers.json")


def until_ended() -> threading.Event:
    """In the process: set when it is told to end."""
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_arguments: over.set())
    return over
