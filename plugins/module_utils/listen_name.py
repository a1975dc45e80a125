# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where does a server listen that is told a name on this host?"""

from __future__ import annotations

import ipaddress
import socket

# TEST-NET-1 of RFC 5737: a way to it is the default route. Nothing is sent.
ELSEWHERE = ("192.0.2.1", 9)


def is_name(text: str) -> bool:
    """Whether a text is a name whose meaning a host decides: no address, and not localhost, which says what it is (RFC 6761)."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        lowered = text.lower().rstrip(".")
        return lowered != "localhost" and not lowered.endswith(".localhost")
    return False


def addresses_of(name: str) -> list[str]:
    """What a name stands for on this host: IPv4 where there is any, as servers take it. Empty where it is not known."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    told = sorted({str(entry[4][0]).partition("%")[0] for entry in found})
    return [text for text in told if ":" not in text] or told


def is_reachable(addresses: list[str]) -> bool:
    """Whether other machines reach a server there. Of several addresses it takes one, and nobody knows which."""
    return bool(addresses) and not any(ipaddress.ip_address(text).is_loopback for text in addresses)


def own_address() -> str | None:
    """This host's IPv4 address on the way out; None where there is no such way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        try:
            way.connect(ELSEWHERE)
        except OSError:
            return None
        return str(way.getsockname()[0])
