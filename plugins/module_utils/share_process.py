# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares of a store as processes of their own: started detached from whoever starts them, remembered, and ended.

The token is in the memory of the process that shares and in the result of the module, nowhere else: not in a command line, an
environment or a file.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import secrets
import signal
import stat
import time
from typing import Any, Callable, Mapping

from .gguf_bytes import GgufError
from .ollama_names import ModelName, parse_model_name
from .ollama_store import manifest_bytes
from .process_identity import find
from .share_server import Shared, ShareServer, shared_models

TOKEN_BYTES = 32
READY_S = 20.0
END_S = 10.0
# Nobody who starts a share has more files open.
MOST_FILES = 65_536


class ShareProblem(Exception):
    """A share that cannot be; the message says what to do."""


def started(options: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Start a share; the options are those of the module ollama_share. Raises ShareProblem."""
    names = _there(options["models_directory"], options["models"])
    found = [str(name) for name in names]
    if not names or check_mode:
        said = "would be shared" if names else "none of the models is in the store; nothing is shared"
        return {"changed": bool(names), "url": None, "token": None, "models": found, "msg": said}
    _check(options)
    directory = _private(options["directory"])
    token = secrets.token_urlsafe(TOKEN_BYTES)
    try:
        shared = shared_models(options["models_directory"], names)
    except GgufError as error:
        raise ShareProblem(str(error)) from None
    port = _start(options, token, shared, directory)
    url = _url(options["address"], port)
    said = f"{len(found)} models are shared at {url} with {options['allowed_address']}"
    return {"changed": True, "url": url, "token": token, "models": found, "msg": said}


def stopped(directory: str | None, url: str | None, check_mode: bool) -> dict[str, Any]:
    """End the share at ``url``, or all that are remembered. Raises ShareProblem."""
    place = _private(directory)
    ended = []
    for file in sorted(os.listdir(place)):
        remembered = _read(os.path.join(place, file))
        if not remembered or url not in (None, remembered.get("url")):
            continue
        running = find(remembered.get("pid"))
        if running is not None and running.identity == remembered.get("identity"):
            ended.append(remembered["url"])
            if not check_mode:
                _end(running.pid, running.identity)
        if not check_mode:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(place, file))
    said = f"ended: {', '.join(ended)}" if ended else "no such share is running"
    return {"changed": bool(ended), "url": None, "token": None, "models": [], "msg": said}


def _there(models_directory: str, texts: list[str]) -> list[ModelName]:
    """Those of the models that the store has. Raises ShareProblem for what is no name."""
    found = []
    for text in texts:
        try:
            name = parse_model_name(text)
        except GgufError as error:
            raise ShareProblem(str(error)) from None
        with contextlib.suppress(GgufError):
            manifest_bytes(models_directory, name)
            found.append(name)
    return found


def _check(options: Mapping[str, Any]) -> None:
    for option in ("address", "allowed_address"):
        try:
            address = ipaddress.ip_address(options[option])
        except ValueError:
            raise ShareProblem(f"got {option} {options[option]!r}, expected one IPv4 or IPv6 address") from None
        if address.is_unspecified:
            raise ShareProblem(f"got {option} {options[option]}, which is every address; expected one of a host")
    for option in ("idle_s", "limit_s"):
        if options[option] <= 0:
            raise ShareProblem(f"got {option} {options[option]}, expected seconds above 0")


def _private(directory: str | None) -> str:
    """The directory in which shares are remembered, for its owner alone. Raises ShareProblem."""
    base = (
        "/run"
        if os.geteuid() == 0 and os.path.isdir("/run")
        else os.environ.get("XDG_RUNTIME_DIR") or os.path.expanduser("~/.cache")
    )
    path = directory or os.path.join(base, "homelab-llm-shares")
    try:
        os.makedirs(path, 0o700, exist_ok=True)
        found = os.lstat(path)
    except OSError as error:
        raise ShareProblem(f"{path}: cannot be made ({error.strerror}); give another directory") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ShareProblem(
            f"{path}: expected a directory of the user who runs this and for nobody else; remove it or give another"
        )
    return path


def _url(address: str, port: int) -> str:
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def _start(options: Mapping[str, Any], token: str, shared: Shared, directory: str) -> int:
    """Listen, detach, serve; returns the port. The one that serves says through a pipe that it is remembered."""
    place = (options["address"], options["port"])
    try:
        server = ShareServer(place, options["allowed_address"], token, shared, options["idle_s"], options["limit_s"])
    except OSError as error:
        raise ShareProblem(
            f"cannot listen on {place[0]} port {place[1]}: {error.strerror}; give another address or port"
        ) from None
    port = server.port
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        _in_child(lambda: _serve(server, write_end, os.path.join(directory, f"{port}-{os.getpid()}.json"), _url(place[0], port)))
    os.close(write_end)
    server.server_close()
    os.waitpid(child, 0)
    with os.fdopen(read_end, "rb") as stream:
        said = stream.read().decode(errors="replace")
    if said != "ready":
        raise ShareProblem(f"the share ended at once: {said or 'no reason is known'}; run again")
    return port


def _in_child(serve: Callable[[], None]) -> None:
    """A second fork, so that nobody waits for the one that serves; neither ever returns into the module."""
    status = 1
    try:
        os.setsid()
        if os.fork():
            status = 0
        else:
            serve()
            status = 0
    finally:
        os._exit(status)


def _serve(server: ShareServer, write_end: int, file: str, url: str) -> None:
    try:
        _let_go(server, write_end)
        signal.signal(signal.SIGTERM, lambda *_received: server.end())
        _remember(file, url)
    except OSError as error:
        os.write(write_end, f"{error.strerror}".encode())
        return
    os.write(write_end, b"ready")
    os.close(write_end)
    try:
        server.serve()
    finally:
        with contextlib.suppress(OSError):
            os.unlink(file)


def _let_go(server: ShareServer, write_end: int) -> None:
    """Keep nothing of who started it: no file but the listening socket and the pipe, no folder, no terminal."""
    os.chdir("/")
    os.umask(0o077)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    begin = 3
    for kept in sorted((server.fileno(), write_end)):
        os.closerange(begin, kept)
        begin = kept + 1
    os.closerange(begin, MOST_FILES)


def _remember(file: str, url: str) -> None:
    running = find(os.getpid())
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(number, "w", encoding="utf-8") as stream:
        json.dump({"url": url, "pid": os.getpid(), "identity": running.identity if running else None}, stream)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _end(pid: int, identity: str) -> None:
    """Ask it to end, then make it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        ends = time.monotonic() + END_S
        while time.monotonic() < ends:
            running = find(pid)
            if running is None or running.identity != identity:
                return
            time.sleep(0.05)
    raise ShareProblem(f"process {pid} does not end; end it by hand")
