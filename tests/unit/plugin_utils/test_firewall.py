"""Addresses that a firewall lets in."""

from __future__ import annotations

import pytest

from plugins.plugin_utils.firewall import FirewallError, allowed_networks

CASES = [
    ([], [], []),
    (["10.0.0.7", "fd00::7"], ["10.0.0.7"], ["fd00::7"]),
    (["192.168.1.9/24", "192.168.1.7", "192.168.1.7"], ["192.168.1.0/24"], []),
    (["10.0.0.2", "10.0.0.1/32", "FD00:0::1/128"], ["10.0.0.1", "10.0.0.2"], ["fd00::1"]),
    (["10.0.0.0/25", "10.0.0.128/25", "fd00::/64"], ["10.0.0.0/24"], ["fd00::/64"]),
    (["::ffff:10.0.0.7"], ["10.0.0.7"], []),
]


@pytest.mark.parametrize(("addresses", "v4", "v6"), CASES, ids=range(len(CASES)))
def test_addresses_are_told_apart_and_joined(addresses, v4, v6):
    assert allowed_networks(addresses) == {"v4": v4, "v6": v6}


REFUSED = [
    ("nas.local", "expected an IPv4 or IPv6 address or a network"),
    ("10.0.0.256", "got '10.0.0.256'"),
    ("10.0.0.7; drop", "got '10.0.0.7; drop'"),
    ("", "got ''"),
    (42, "got 42; expected"),
    (None, "got None"),
    ("fe80::1%eth0", "with the name of an interface"),
    ("0.0.0.0/0", "which is everybody"),
    ("::/0", "which is everybody"),
]


@pytest.mark.parametrize(("address", "words"), REFUSED, ids=[str(case[0]) for case in REFUSED])
def test_what_is_no_address_is_refused(address, words):
    with pytest.raises(FirewallError) as caught:
        allowed_networks(["10.0.0.1", address])
    assert words in str(caught.value)
