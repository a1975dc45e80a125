"""A host of its own on this machine: a network namespace behind a pair of virtual interfaces. Needs root; removed at the end.

It can fall silent in the two ways that no process can play: packets dropped on the way (another segment, a firewall), and a
machine without power on the same segment, which does not answer ARP either.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engines.commands import Unavailable

PREFIX = "homelab-far-"
# RFC 2544's range for tests between devices: nothing else on a machine has it. One /30 for each process.
NETWORK = "198.18"
COMMAND_LIMIT_S = 20.0


@dataclass(frozen=True)
class FarHost:
    """A namespace, the address in it, and how a command is run there."""

    name: str
    address: str

    def command(self, command: list[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]

    def drop_packets(self) -> None:
        """Every packet to and from it is lost from now on; its link and its ARP are alive."""
        for chain in ("INPUT", "OUTPUT"):
            run(self.command(["iptables", "--wait", "--append", chain, "--jump", "DROP"]))

    def power_off(self) -> None:
        """The same, and nobody answers ARP for its address."""
        self.drop_packets()
        run(self.command(["ip", "link", "set", "far", "arp", "off"]))

    def come_back(self) -> None:
        run(self.command(["iptables", "--wait", "--flush"]))
        run(self.command(["ip", "link", "set", "far", "arp", "on"]))


def run(command: list[str]) -> None:
    """Raises Unavailable with what the command said against it."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


def lacking() -> str | None:
    """Why there is no far host here; None where there is one."""
    if os.geteuid():
        return "needs root for a network namespace"
    missing = [name for name in ("ip", "iptables") if not shutil.which(name)]
    return f"{' and '.join(missing)} missing here; with Debian: apt install iproute2 iptables" if missing else None


@contextmanager
def far_host() -> Iterator[FarHost]:
    """Raises Unavailable where this machine cannot have one."""
    if reason := lacking():
        raise Unavailable(reason)
    sweep()
    number = os.getpid()
    # The last 14 bits of the process id choose the /30.
    base = (number % 16384) * 4
    network = f"{NETWORK}.{base >> 8}"
    near, far = (f"{network}.{(base & 255) + last}" for last in (1, 2))
    host, link = FarHost(f"{PREFIX}{number}", far), f"far{number}"
    try:
        run(["ip", "netns", "add", host.name])
        run(["ip", "link", "add", link, "type", "veth", "peer", "name", "far", "netns", host.name])
        run(["ip", "address", "add", f"{near}/30", "dev", link])
        run(["ip", "link", "set", link, "up"])
        run(host.command(["ip", "address", "add", f"{far}/30", "dev", "far"]))
        for name in ("lo", "far"):
            run(host.command(["ip", "link", "set", name, "up"]))
        yield host
    finally:
        with contextlib.suppress(Unavailable):
            # Its interface and the other end of the pair go with it.
            run(["ip", "netns", "delete", host.name])
        if Path("/sys/class/net", link).exists():
            with contextlib.suppress(Unavailable):
                run(["ip", "link", "delete", link])


def sweep() -> None:
    """Remove what a killed process has left; who is alive keeps its own."""
    for path in Path("/run/netns").glob(f"{PREFIX}*"):
        found = re.fullmatch(rf"{PREFIX}(\d+)", path.name)
        if found and not Path("/proc", found[1]).is_dir():
            with contextlib.suppress(Unavailable):
                run(["ip", "netns", "delete", path.name])
