#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: listen_info
short_description: Where a server listens that is told a name
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Asks a host what a name stands for there. On Debian and what is made of it a host's own name is often C(127.0.1.1), in
    C(/etc/hosts), where no other machine reaches it.
options:
  address:
    description: Name or address that a server is to listen on.
    type: str
    required: true
extends_documentation_fragment: [homelab.llm.reads_only]
"""

EXAMPLES = r"""
- name: See where an engine would listen
  homelab.llm.listen_info:
    address: star.lan
"""

RETURN = r"""
is_name:
  description: Whether it is a name whose meaning the host decides, and neither an address nor C(localhost).
  returned: always
  type: bool
addresses:
  description: What it stands for on the host; IPv4 addresses where there are any. Empty where the host does not know it.
  returned: always
  type: list
  elements: str
is_reachable:
  description: Whether other machines can reach what listens there, because none of the addresses is a loopback's.
  returned: always
  type: bool
own_address:
  description: The host's IPv4 address on its default route; null where it has none.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.listen_name import addresses_of, is_name, is_reachable, own_address


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(argument_spec={"address": {"type": "str", "required": True}}, supports_check_mode=True)
    told = module.params["address"]
    addresses = addresses_of(told)
    reachable = is_reachable(addresses)
    module.exit_json(changed=False, is_name=is_name(told), addresses=addresses, is_reachable=reachable, own_address=own_address())


if __name__ == "__main__":
    main()
