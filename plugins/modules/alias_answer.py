#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks one alias of the router on the router's own host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: alias_answer
author:
  - homelab.llm maintainers (@homelab-llm)
version_added: 0.1.0
short_description: Ask one alias of the router and tell which deployment answered
description:
  - Sends one short request through the LiteLLM proxy, as a client would, and returns the answer and the deployment it came from.
  - Reads the master key from the router's environment file on the host, so that the key travels nowhere.
  - Never fails because of a bad answer; O(ignore:error) is returned instead, so that all aliases are asked before anybody judges.
options:
  url:
    description: Address of the router, without C(/v1).
    type: str
    required: true
  key_file:
    description: Environment file on this host that holds C(LITELLM_MASTER_KEY).
    type: path
    required: true
  alias:
    description: The alias to ask.
    type: str
    required: true
  mode:
    description: Which kind of request to send.
    type: str
    choices: [chat, embedding]
    default: chat
  timeout_s:
    description: Longest wait for the answer, in seconds.
    type: float
    default: 300
attributes:
  check_mode:
    description: Asks only where the run is real; a generation is no change, but the alias may not be deployed yet.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: Ask the alias for coding
  homelab.llm.alias_answer:
    url: http://127.0.0.1:4000
    key_file: /opt/homelab-llm/litellm/current/router.env
    alias: coding
"""

RETURN = r"""
answer:
  description:
    - The alias, answered_by (id of the deployment), seconds, excerpt (chat), dimension (embedding), error and status (of HTTP);
      null where there is none. And late, whether the time was over.
  returned: always, null in check mode
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.router_client import ask, read_key


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "key_file": {"type": "path", "required": True, "no_log": False},
            "alias": {"type": "str", "required": True},
            "mode": {"type": "str", "choices": ["chat", "embedding"], "default": "chat"},
            "timeout_s": {"type": "float", "default": 300},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, answer=None)
    options = module.params
    try:
        key = read_key(options["key_file"])
    except ValueError as error:
        module.fail_json(msg=str(error))
    answer = ask(options["url"], key, options["alias"], options["mode"], options["timeout_s"])
    module.exit_json(changed=False, answer=answer)


if __name__ == "__main__":
    main()
