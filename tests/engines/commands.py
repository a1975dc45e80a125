"""The commands of a build: run with a sign of life, their output in a log, ended in time."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

SAY_EVERY_S = 9.0
# The longest single command took 7 minutes on two cores alone, 19 beside five other programs.
COMMAND_LIMIT_S = 1500.0
# The words of pip and go for something that is not what was expected.
WRONG_CHECKSUM = ("do not match the hashes", "checksum mismatch", "security error")


class Unavailable(Exception):
    """Something cannot be had here; the message says why."""


class BuildFailed(Exception):
    """Something should have been built and was not; the message says at what, and where its log is."""


def say(text: str) -> None:
    print(f"engines: {text}", flush=True)


def need(*commands: str) -> None:
    missing = [command for command in commands if not shutil.which(command)]
    if missing:
        raise Unavailable(f"{' and '.join(missing)} missing here; with Debian: apt install g++ golang (Go 1.21 or newer)")


def run(what: str, command: list[str], log: Path, env: dict[str, str] | None = None) -> str:
    """Run a command and return its output, which is added to the log. Says how far it is while it runs.

    Raises BuildFailed with the output's end where it fails or takes too long.
    """
    begin = log.stat().st_size if log.is_file() else 0
    with log.open("ab") as stream:
        nothing = subprocess.DEVNULL
        process = subprocess.Popen(command, env={**os.environ, **(env or {})}, stdin=nothing, stdout=stream, stderr=stream)
    try:
        follow(what, process, log)
    finally:
        end(process)
    with log.open("rb") as stream:
        stream.seek(begin)
        output = stream.read().decode(errors="replace")
    if process.returncode:
        tail = "\n".join(output.splitlines()[-25:])
        raise BuildFailed(f"{what}: {' '.join(command[:4])} … ended with {process.returncode}; its log: {log}\n{tail}")
    return output


def follow(what: str, process: subprocess.Popen[bytes], log: Path) -> None:
    started = said = time.monotonic()
    while process.poll() is None:
        time.sleep(0.1)
        now = time.monotonic()
        if now - said > SAY_EVERY_S:
            said = now
            say(f"{what}: {now - started:.0f} s {last_line(log)}")
        if now - started > COMMAND_LIMIT_S:
            raise BuildFailed(f"{what}: not ready after {COMMAND_LIMIT_S:.0f} s; its log: {log}")


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def last_line(log: Path) -> str:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 2000))
        lines = stream.read().decode(errors="replace").split("\n")
    return next((line.strip()[:100] for line in reversed(lines) if line.strip()), "")


def fetch(what: str, command: list[str], log: Path, env: dict[str, str] | None = None) -> str:
    """A download: where it fails there is nothing to be had here, unless what came is not what was expected."""
    try:
        return run(what, command, log, env)
    except BuildFailed as error:
        if any(words in str(error).lower() for words in WRONG_CHECKSUM):
            raise
        raise Unavailable(f"{what} failed, is there a network? {str(error).splitlines()[-1]}") from error
