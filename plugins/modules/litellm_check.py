#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: litellm_check
short_description: Let LiteLLM itself look at a configuration
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Runs C(check_config.py) of the role C(litellm), which builds LiteLLM's router from a configuration, with the interpreter, the
    variables and the user that will serve it. Nothing is contacted.
  - Fails with what it says against the configuration.
options:
  command:
    description: The program and its arguments.
    type: list
    elements: str
    required: true
  folder:
    description: Directory that it starts in.
    type: path
    required: true
  environment:
    description: Variables of the proxy that are no secrets.
    type: dict
    default: {}
  user:
    description: System user to run it as. Empty for the connecting one.
    type: str
    default: ""
  timeout_s:
    description: Seconds that it may take.
    type: float
    default: 120
attributes:
  check_mode:
    support: full
    description: Does nothing; there may be no LiteLLM yet.
  diff_mode:
    support: none
    description: Changes nothing.
"""

EXAMPLES = r"""
- name: Build LiteLLM's router from the new configuration
  homelab.llm.litellm_check:
    command:
      - /opt/homelab-llm/litellm/environments/0123456789abcdef/bin/python
      - -B
      - /opt/homelab-llm/litellm/check_config.py
      - /opt/homelab-llm/litellm/generations/0123456789abcdef/config.yaml
    folder: /opt/homelab-llm/litellm/generations/0123456789abcdef
    user: homelab-litellm
"""

RETURN = r""" # """

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.litellm_check import Refusal, check


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "list", "elements": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "environment": {"type": "dict", "default": {}},
            "user": {"type": "str", "default": ""},
            "timeout_s": {"type": "float", "default": 120},
        },
        supports_check_mode=True,
    )
    options = module.params
    if not module.check_mode:
        environment = {name: str(value) for name, value in options["environment"].items()}
        try:
            check(options["command"], options["folder"], environment, options["user"], options["timeout_s"])
        except Refusal as refusal:
            module.fail_json(msg=str(refusal))
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
