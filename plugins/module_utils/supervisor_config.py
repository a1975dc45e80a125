# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of one supervisord and of the programs below it, as text."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from typing import Mapping, NamedTuple, Sequence

# A socket's address holds 104 bytes on macOS, 108 on Linux, one of them the final zero (sys/un.h).
SOCKET_PATH_BYTES = 103
# supervisord binds `SOCKET.PID` first and links it to its name (supervisor/http.py); ids have up to 7 digits.
SOCKET_SUFFIX_BYTES = 8
SHORT_SOCKET_PARENT = "/tmp"
# With the @ of the instances of a systemd unit, so that a service has one name under every manager.
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9@._-]*$")
# What supervisor's own parser of `environment=` cannot carry (supervisor/datatypes.py), or would read as a comment.
UNSAFE_VALUE = re.compile(r"[\"'\n\r;#]")
# Reads a file of secrets into the environment and becomes the program: they show in no configuration and no argument list.
WITH_SECRETS = 'set -a; . "$0"; set +a; exec "$@"'


class ConfigurationError(ValueError):
    """A program cannot be written into supervisord's configuration; the message says which part and why."""


class Program(NamedTuple):
    """One program: command and arguments, working directory, environment, file of secrets, and how long its end may take."""

    name: str
    command: Sequence[str]
    working_directory: str
    environment: Mapping[str, str]
    environment_file: str
    revision: str
    stop_timeout_s: int
    autostart: bool = True


class Layout(NamedTuple):
    """Where one supervisord keeps its things; all but a socket of a too long path is below `directory`."""

    directory: str
    socket: str

    def file(self, *parts: str) -> str:
        """A path below the directory."""
        return os.path.join(self.directory, *parts)

    @property
    def configuration(self) -> str:
        return self.file("supervisord.conf")

    @property
    def pid_file(self) -> str:
        return self.file("supervisord.pid")

    @property
    def record(self) -> str:
        return self.file("supervisord.json")

    @property
    def own_log(self) -> str:
        return self.file("supervisord.log")

    def program_file(self, name: str) -> str:
        return self.file("programs", name + ".conf")

    def program_log(self, name: str) -> str:
        return self.file("logs", name + ".log")

    @property
    def short_directory(self) -> str:
        """The directory in the system's place for temporary files that holds a socket alone; "" when the socket is below."""
        folder = os.path.dirname(self.socket)
        return "" if folder == self.directory else folder


def layout(directory: str, user_id: int) -> Layout:
    """The layout of a supervisord below a directory."""
    socket = os.path.join(directory, "supervisor.sock")
    if len(os.fsencode(socket)) + SOCKET_SUFFIX_BYTES > SOCKET_PATH_BYTES:
        key = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
        socket = os.path.join(SHORT_SOCKET_PARENT, f"homelab-llm-{user_id}-{key}", "supervisor.sock")
    return Layout(directory, socket)


def check_path(path: str) -> str:
    """A path as supervisord's parser takes it verbatim. Raises ConfigurationError for one that it would change."""
    if re.search(r"\s[;#]|[\n\r%,]", path):
        raise ConfigurationError(
            f"path {path!r} holds %, a comma or a comment sign after a space; supervisord cannot carry it; choose another path"
        )
    return path


def words(command: Sequence[str]) -> str:
    """A command as one value: quoted, percent signs doubled, comment signs after a space cut free by quotes."""
    if any("\n" in word or "\r" in word for word in command):
        raise ConfigurationError("command: an argument holds a line break, which supervisord cannot carry")
    text = " ".join(shlex.quote(word) for word in command).replace("%", "%%")
    return re.sub(r"(\s)([;#])", r"\1''\2", text)


def environment_value(values: Mapping[str, str]) -> str:
    """An environment as one value. Raises ConfigurationError for what supervisord's parser cannot carry."""
    for name, value in sorted(values.items()):
        if not re.match(r"^[A-Za-z_][A-Za-z0-9_]*$", name) or UNSAFE_VALUE.search(value):
            raise ConfigurationError(
                f"environment: {name} has a name or a value that supervisord cannot carry "
                f"(quotes, line breaks, ; and #); put it into the environment file"
            )
    return ",".join(f'{name}="{value}"' for name, value in sorted(values.items())).replace("%", "%%")


def program_text(program: Program, place: Layout) -> str:
    """The configuration of one program."""
    if not NAME.match(program.name):
        raise ConfigurationError(f"name: {program.name!r} is no program name; expected letters, digits, @, dot, dash, underscore")
    command = list(program.command)
    if program.environment_file:
        command = ["/bin/sh", "-c", WITH_SECRETS, program.environment_file, *command]
    # The revision is in the environment so that supervisord itself sees a program that has to be started again.
    environment = {**program.environment, "HOMELAB_LLM_REVISION": program.revision}
    return "\n".join(
        [
            f"[program:{program.name}]",
            f"command={words(command)}",
            f"directory={check_path(program.working_directory)}",
            f"environment={environment_value(environment)}",
            f"autostart={'true' if program.autostart else 'false'}",
            "autorestart=true",
            "startsecs=1",
            "startretries=3",
            f"stopwaitsecs={program.stop_timeout_s}",
            "stopasgroup=true",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={check_path(place.program_log(program.name))}",
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=3",
            "",
        ]
    )


def daemon_text(place: Layout, root: bool) -> str:
    """The configuration of supervisord itself: its socket, its files, and where its programs are described."""
    return "\n".join(
        [
            "[supervisord]",
            f"logfile={check_path(place.own_log)}",
            "logfile_maxbytes=5MB",
            "logfile_backups=1",
            f"pidfile={check_path(place.pid_file)}",
            f"childlogdir={check_path(place.file('logs'))}",
            f"directory={check_path(place.directory)}",
            "umask=077",
            *(["user=root"] if root else []),
            "",
            "[unix_http_server]",
            f"file={check_path(place.socket)}",
            "chmod=0700",
            "",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
            "",
            "[include]",
            # Relative to this file: the list is split at spaces.
            "files=programs/*.conf",
            "",
        ]
    )
