#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ufw_rules
short_description: TCP ports that ufw keeps to some addresses
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Keeps rules in ufw that let some addresses reach ports, and nobody else. They stand before all rules of others.
  - The rules are known by their comment C(homelab-llm NAME). Nobody else's are changed.
  - ufw itself is neither installed nor switched on; that could lock out whoever does it.
options:
  name:
    description: What the ports belong to. Lower case letters, digits and underscore.
    type: str
    required: true
  ports:
    description: TCP ports.
    type: list
    elements: int
    default: []
  networks:
    description: Addresses and networks that may reach them, IPv4 and IPv6, none within another. Loopback always may.
    type: list
    elements: str
    default: []
  state:
    description: Whether the rules are there.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Predicts the change without touching the firewall.
  diff_mode:
    support: full
    description: Shows the rules of the name before and after.
  idempotent:
    support: full
    description: The same rules change nothing.
"""

EXAMPLES = r"""
- name: Let the router alone reach the engine
  homelab.llm.ufw_rules:
    name: ollama
    ports: [11434]
    networks: [192.168.1.7]
"""

RETURN = r"""
rules:
  description: The rules of the name, as they are or would be.
  returned: always
  type: list
  elements: str
"""

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import ufw

NAME = re.compile(r"[a-z][a-z0-9_]*")
LOCALE = {"LC_ALL": "C", "LANGUAGE": "C"}


def call(module: AnsibleModule, program: str, *words: str) -> str:
    """What ufw prints; a failure ends the module with its words."""
    code, said, error = module.run_command([program, *words], environ_update=LOCALE)
    if code:
        module.fail_json(
            msg=f"ufw {' '.join(words)} ended with {code}: {(error or said).strip()[-300:]}; expected 0. Try it by hand."
        )
    return said


def check_active(module: AnsibleModule, program: str | None) -> None:
    """Refuse a host whose ufw would not hold the rules."""
    if program is None:
        module.fail_json(msg="ufw is not on this host; expected it. Install it, let ssh in, switch it on, or take nftables.")
    elif not ufw.is_active(call(module, program, "status")):
        module.fail_json(
            msg="ufw is not active; expected it on. Let ssh in (ufw allow OpenSSH), then ufw enable, or take nftables."
        )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "ports": {"type": "list", "elements": "int", "default": []},
            "networks": {"type": "list", "elements": "str", "default": []},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    name, present = module.params["name"], module.params["state"] == "present"
    if not NAME.fullmatch(name):
        module.fail_json(msg=f"name: got {name!r}; expected lower case letters, digits and underscore")
    program = module.get_bin_path("ufw")
    if present:
        check_active(module, program)
    wanted = ufw.wanted_rules(name, module.params["ports"], module.params["networks"]) if present else []
    there = ufw.parse_added(call(module, program, "show", "added")) if program else []
    others = [f"ufw delete {rule.text}" for rule in ufw.in_the_way(there, name, wanted)]
    if others:
        module.fail_json(
            msg=f"ufw has rules of others about the same as ours and takes no second ones; remove them: {'; '.join(others)}"
        )
    calls = ufw.decide(there, name, wanted)
    if program and not module.check_mode:
        for words in calls:
            call(module, program, *words)
        if not ufw.stand_first(ufw.parse_added(call(module, program, "show", "added")), name, wanted):
            module.fail_json(
                msg=f"ufw did not take the rules of {name}; expected them first of all. Compare with: ufw show added"
            )
    module.exit_json(changed=bool(calls), rules=[rule.text for rule in wanted], diff=difference(there, name, wanted, calls))


def difference(there: list[ufw.Rule], name: str, wanted: list[ufw.Rule], calls: list[list[str]]) -> dict[str, Any]:
    """The rules of the name before and after; nothing when nothing changes."""
    if not calls:
        return {"before": "", "after": ""}
    before = [rule.text for rule in there if rule.comment == ufw.TAG + name]
    return {"before": "".join(f"{text}\n" for text in before), "after": "".join(f"{rule.text}\n" for rule in wanted)}


if __name__ == "__main__":
    main()
