# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process is it: a process id is used again, its id together with its start is not."""

from __future__ import annotations

import os
import subprocess
from datetime import datetime, timezone
from typing import Iterable, NamedTuple


class Process(NamedTuple):
    """One running process: its id, an identity that no other process ever has, its start in UTC (ISO 8601)."""

    pid: int
    identity: str
    started_at: str


def find(pid: int | None) -> Process | None:
    """The process that has this id now; None when there is none or it is a zombie."""
    if not pid:
        return None
    return from_proc(pid) if os.path.isdir("/proc/self") else from_ps(pid)


def read(path: str) -> str:
    """A small text file's content; "" when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def parse_stat(line: str) -> tuple[str, int] | None:
    """State letter and start in clock ticks since boot out of /proc/PID/stat (proc(5): fields 3 and 22).

    The second field is the program's name in parentheses and may hold spaces and parentheses itself.
    """
    fields = line[line.rfind(")") + 1 :].split()
    return (fields[0], int(fields[19])) if len(fields) > 19 else None


def parse_boot_time(text: str) -> int | None:
    """Seconds since the epoch at boot out of /proc/stat."""
    for line in text.splitlines():
        if line.startswith("btime "):
            return int(line.split()[1])
    return None


def from_proc(pid: int) -> Process | None:
    """A process by the Linux process file system."""
    stat = parse_stat(read(f"/proc/{pid}/stat"))
    if stat is None or stat[0] in "ZX":
        return None
    boot, boot_time_s = read("/proc/sys/kernel/random/boot_id").strip(), parse_boot_time(read("/proc/stat"))
    start_s = (boot_time_s or 0) + stat[1] / os.sysconf("SC_CLK_TCK")
    return Process(pid, f"{boot}:{pid}:{stat[1]}", datetime.fromtimestamp(int(start_s), timezone.utc).isoformat())


def from_ps(pid: int) -> Process | None:
    """A process by ps, where there is no process file system (macOS)."""
    done = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
        text=True,
        env={"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)},
    )
    return parse_ps(pid, done.stdout)


def parse_ps(pid: int, line: str) -> Process | None:
    """A process out of one line `stat lstart` of ps in the C locale."""
    state, _space, started = line.strip().partition(" ")
    if not started or state.startswith("Z"):
        return None
    start = datetime.strptime(started.strip(), "%a %b %d %H:%M:%S %Y").astimezone(timezone.utc)
    return Process(pid, f"{pid}:{start.isoformat()}", start.isoformat())


def listening_inodes(table: str) -> dict[str, int]:
    """Socket inode to TCP port of every listening socket in a /proc/net/tcp table (0A: LISTEN, linux/net/tcp_states.h)."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {row[9]: int(row[1].rpartition(":")[2], 16) for row in rows if len(row) > 9 and row[3] == "0A"}


def listening_ports(pids: Iterable[int]) -> dict[int, list[int]]:
    """The TCP ports that processes listen on, by process id; empty where they cannot be told."""
    inodes: dict[str, int] = {}
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        inodes.update(listening_inodes(read(name)))
    return {pid: sorted({inodes[inode] for inode in socket_inodes(pid) if inode in inodes}) for pid in pids}


def socket_inodes(pid: int) -> list[str]:
    """Inodes of the sockets that a process holds open."""
    folder, found = f"/proc/{pid}/fd", []
    try:
        for name in os.listdir(folder):
            target = os.readlink(os.path.join(folder, name))
            if target.startswith("socket:["):
                found.append(target[len("socket:[") : -1])
    except OSError:
        return found
    return found


def port_inodes(port: int) -> set[str]:
    """Inodes of the sockets that listen on a TCP port, of any address; who owns them is not asked, so anybody may."""
    tables = (listening_inodes(read(name)) for name in ("/proc/net/tcp", "/proc/net/tcp6"))
    return {inode for table in tables for inode, listened in table.items() if listened == port}


def listener_identity(port: int) -> str | None:
    """What listens on a TCP port of this machine, as a text that changes when it is started again; None where nobody does.

    A socket's inode is counted up from boot on, so a new listener never has the one of the old.
    """
    if os.path.isdir("/proc/self"):
        inodes = sorted(port_inodes(port))
        return ":".join([read("/proc/sys/kernel/random/boot_id").strip(), *inodes]) if inodes else None
    found = [process.identity for process in map(find, listeners_by_lsof(port)) if process]
    return " ".join(sorted(found)) or None


def listener(port: int) -> int | None:
    """The process that listens on a TCP port, None where there is none or we may not know."""
    if not os.path.isdir("/proc/self"):
        return next(iter(listeners_by_lsof(port)), None)
    inodes = port_inodes(port)
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return next((pid for pid in pids if inodes and inodes.intersection(socket_inodes(pid))), None)


def listeners_by_lsof(port: int) -> list[int]:
    """Processes that listen on a TCP port, where there is no process file system (macOS)."""
    try:
        command = ["lsof", "-nP", "-t", f"-iTCP:{port}", "-sTCP:LISTEN"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return []
    return [int(line) for line in done.stdout.split() if line.isdigit()]
