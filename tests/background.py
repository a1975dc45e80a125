"""A process that serves the hosts of a molecule scenario while its steps run: started by one step, ended by another.

It is a module of the tests, called with the word `serve`; servers.json in the scenario's folder says that it serves, and where.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.engines.build import UNAVAILABLE
from tests.engines.commands import BuildFailed, Unavailable
from tests.real.registry import Unavailable as NoRegistry

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


def clear(folder: Path, *left: str) -> None:
    """Remove what a run that was cut off has left."""
    for name in ("servers.json", "mirror.jsonl", *left):
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        (folder / name).unlink(missing_ok=True)


def command(words: list[str], actions: Mapping[str, Callable[[], object]]) -> int:
    """What a module of servers is called for: UNAVAILABLE where what it serves cannot be had here, 1 where it is not built."""
    if len(words) != 1 or words[0] not in actions:
        print(f"got {' '.join(words) or 'nothing'}; expected {', '.join(actions)}", flush=True)
        return 2
    try:
        actions[words[0]]()
    except (Unavailable, NoRegistry, BuildFailed) as error:
        print(error, flush=True)
        return 1 if isinstance(error, BuildFailed) else UNAVAILABLE
    return 0


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
