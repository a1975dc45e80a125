"""Who may reach a port: addresses and networks, as a firewall takes them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class FirewallError(ValueError):
    """Something that is no address; the message says which, and what was expected."""


def allowed_networks(addresses: Iterable[Any]) -> dict[str, list[str]]:
    """Lists ``v4`` and ``v6`` of addresses and networks, each once, none within another, in order. Raises FirewallError."""
    found = [parse(address) for address in addresses]
    return {
        "v4": texts(network for network in found if isinstance(network, ipaddress.IPv4Network)),
        "v6": texts(network for network in found if isinstance(network, ipaddress.IPv6Network)),
    }


def parse(address: Any) -> Network:
    """One address or network; bits of the host in a network are dropped, as firewalls do. Raises FirewallError."""
    try:
        # A number would be read as an address, 42 as 0.0.0.42.
        network = ipaddress.ip_network(address if isinstance(address, str) else "", strict=False)
    except ValueError:
        raise FirewallError(
            f"got {address!r}; expected an IPv4 or IPv6 address or a network such as 192.168.1.0/24; names are not looked up here"
        ) from None
    if "%" in str(network):
        raise FirewallError(f"got {address!r} with the name of an interface; expected an address alone")
    if network.prefixlen == 0:
        raise FirewallError(f"got {address!r}, which is everybody; expected those who may; to let everybody in take no firewall")
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    return ipaddress.IPv4Network(mapped) if mapped and network.prefixlen == 128 else network


def texts(networks: Iterable[Any]) -> list[str]:
    """Networks as text, a single address without its length."""
    joined: Sequence[Any] = list(ipaddress.collapse_addresses(networks))
    return [str(item.network_address if item.num_addresses == 1 else item) for item in joined]
