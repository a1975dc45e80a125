"""Door to plugin_utils.firewall: addresses as a firewall takes them."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.firewall import FirewallError, allowed_networks
from ..plugin_utils.plain import plain

DOCUMENTATION = r"""
name: firewall_networks
author: homelab.llm maintainers
version_added: 0.2.0
short_description: Addresses and networks as a firewall takes them
description:
  - Checks addresses and networks, drops what lies within another, and tells IPv4 from IPv6.
options:
  _input:
    description: Addresses and networks.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show who may reach the engine
  ansible.builtin.debug:
    msg: "{{ ['192.168.1.7', '192.168.1.0/24', 'fd00::7'] | homelab.llm.firewall_networks }}"
"""

RETURN = r"""
_value:
  description: Lists C(v4) and C(v6).
  type: dict
"""


def _firewall_networks(addresses: list[str]) -> dict[str, list[str]]:
    try:
        return allowed_networks(plain(addresses))
    except FirewallError as error:
        raise AnsibleFilterError(f"firewall_networks: {error}") from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"firewall_networks": _firewall_networks}
