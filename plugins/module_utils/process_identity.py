# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process is it: a process id is used again, its id together with its start is not."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import sys
from datetime import datetime, timezone
from typing import Iterable, NamedTuple


class Process(NamedTuple):
    """One running process: its id, an identity that no other process ever has, its start in UTC (ISO 8601)."""

    pid: int
    identity: str
    started_at: str


class Listener(NamedTuple):
    """One listening TCP socket: the process that holds it, its address and its port."""

    pid: int
    address: str
    port: int


def has_process_files() -> bool:
    """Whether there is Linux' process file system; macOS has none."""
    return os.path.isdir("/proc/self")


def find(pid: int | None) -> Process | None:
    """The process that has this id now; None when there is none or it is a zombie."""
    if not pid:
        return None
    return from_proc(pid) if has_process_files() else from_ps(pid)


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
    """A process by ps, where there is no process file system (macOS).

    One column for each ``-o``: what follows the sign of equality may be its heading (POSIX). In UTC: an hour of the end of summer
    time comes twice.
    """
    done = subprocess.run(
        ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
        text=True,
        env={"LC_ALL": "C", "TZ": "UTC0", "PATH": os.environ.get("PATH", os.defpath)},
    )
    return parse_ps(pid, done.stdout)


def parse_ps(pid: int, line: str) -> Process | None:
    """A process out of one line `stat lstart` of ps in the C locale and UTC."""
    state, _space, started = line.strip().partition(" ")
    if not started or state.startswith("Z"):
        return None
    start = datetime.strptime(started.strip(), "%a %b %d %H:%M:%S %Y").replace(tzinfo=timezone.utc)
    return Process(pid, f"{pid}:{start.isoformat()}", start.isoformat())


def listening_inodes(table: str) -> dict[str, tuple[str, int]]:
    """Socket inode to address and TCP port of every listening socket in a /proc/net/tcp table (0A: LISTEN,
    linux/net/tcp_states.h)."""
    rows = (line.split() for line in table.splitlines()[1:])
    found = {row[9]: row[1].rpartition(":") for row in rows if len(row) > 9 and row[3] == "0A"}
    return {inode: (table_address(address), int(port, 16)) for inode, (address, _colon, port) in found.items()}


def table_address(digits: str) -> str:
    """An address of a /proc/net/tcp table: words of four bytes, each in the order of the machine."""
    words = [digits[start : start + 8] for start in range(0, len(digits), 8)]
    packed = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    return plain_address(socket.inet_ntop(socket.AF_INET6 if len(packed) > 4 else socket.AF_INET, packed))


def plain_address(text: str) -> str:
    """An address as it is compared: an IPv4 one inside of IPv6 is an IPv4 one."""
    address = ipaddress.ip_address(text.partition("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address)


def reached_addresses(host: str) -> list[str]:
    """Local addresses whose listener a connection to ``host`` comes to, the first that there is; none where no address is known.

    Of two listeners the system takes the one of the very address (net/ipv4/inet_hashtables.c). A connection to any address is one
    to the loopback's.
    """
    loopbacks = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    found = [plain_address(str(answer[4][0])) for answer in answers]
    return [
        near
        for address in found
        for near in (loopbacks.get(address, address), *(["0.0.0.0"] if ":" not in address else []), "::")
    ]


def listening_ports(pids: Iterable[int]) -> dict[int, list[int]]:
    """The TCP ports that processes listen on, by process id; empty where they cannot be told."""
    pids = list(pids)
    if not has_process_files():
        found = lsof("-a", "-p", ",".join(map(str, pids)), "-iTCP") if pids else []
        return {pid: sorted({one.port for one in found if one.pid == pid}) for pid in pids}
    inodes: dict[str, tuple[str, int]] = {}
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        inodes.update(listening_inodes(read(name)))
    return {pid: sorted({inodes[inode][1] for inode in socket_inodes(pid) if inode in inodes}) for pid in pids}


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


def port_inodes(host: str, port: int) -> set[str]:
    """Inodes of the sockets that answer at a host's TCP port; who owns them is not asked, so anybody may."""
    tables = (listening_inodes(read(name)) for name in ("/proc/net/tcp", "/proc/net/tcp6"))
    listening = [(inode, *place) for table in tables for inode, place in table.items()]
    return set(nearest(host, [(inode, address) for inode, address, listened in listening if listened == port]))


def nearest(host: str, listeners: list[tuple[str, str]]) -> list[str]:
    """Of listeners with their addresses those that a connection to ``host`` comes to."""
    at = (([name for name, own in listeners if own == address]) for address in reached_addresses(host))
    return next((names for names in at if names), [])


def listener_identity(host: str, port: int) -> str | None:
    """What answers at a TCP port of this machine, as a text that changes when it is started again; None where nobody does.

    A socket's inode is counted up from boot on, so a new listener never has the one of the old.
    """
    if has_process_files():
        inodes = sorted(port_inodes(host, port))
        return ":".join([read("/proc/sys/kernel/random/boot_id").strip(), *inodes]) if inodes else None
    found = [process.identity for process in map(find, listeners_by_lsof(host, port)) if process]
    return " ".join(sorted(found)) or None


def listener(host: str, port: int) -> int | None:
    """The process that answers at a TCP port of this machine, None where there is none or we may not know."""
    if not has_process_files():
        return next(iter(listeners_by_lsof(host, port)), None)
    inodes = port_inodes(host, port)
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return next((pid for pid in pids if inodes and inodes.intersection(socket_inodes(pid))), None)


def listeners_by_lsof(host: str, port: int) -> list[int]:
    """Processes that answer at a TCP port, where there is no process file system (macOS)."""
    found = [(str(one.pid), one.address) for one in lsof(f"-iTCP:{port}")]
    return sorted({int(pid) for pid in nearest(host, found)})


def lsof(*selection: str) -> list[Listener]:
    """The listening sockets that lsof finds of a selection; none where there is no lsof."""
    command = ["lsof", "-nP", "-Fptn", *selection, "-sTCP:LISTEN"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_lsof(done.stdout)


def parse_lsof(text: str) -> list[Listener]:
    """The sockets in the output of `lsof -Fptn`: a letter and a value per line, of a process, then of its files."""
    found, pid, kind = [], 0, ""
    for line in text.splitlines():
        field, value = line[:1], line[1:]
        if field == "p":
            pid = int(value)
        elif field == "t":
            kind = value
        elif field == "n":
            address, _colon, port = value.rpartition(":")
            any_address = "0.0.0.0" if kind == "IPv4" else "::"
            found.append(Listener(pid, any_address if address == "*" else plain_address(address.strip("[]")), int(port)))
    return found
