#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: litellm_canary
short_description: Try a LiteLLM configuration with a second proxy before it serves
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Starts the proxy of a configuration on a free loopback port, with a master key that nobody else has, sends one short request
    to every name, and ends it. The proxy that serves is not touched, but its engines answer the requests.
  - Costs the memory of one proxy (about 340 MB) while it runs.
  - Fails when the canary does not come up or a name does not answer, and says which and why.
options:
  command:
    description: Program of one generation of the proxy and its arguments, see C(serve_generation.py) of the role C(litellm).
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
  secrets:
    description: File of lines C(NAME=value) with variables that are secrets. Its C(LITELLM_MASTER_KEY) is not used.
    type: path
  user:
    description: System user to run it as. Empty for the connecting one.
    type: str
    default: ""
  names:
    description: Whom to ask, as P(homelab.llm.litellm_names#filter) says it.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Model group or alias.
        type: str
        required: true
      mode:
        description: Which kind of request to send.
        type: str
        choices: [chat, embedding]
        required: true
      timeout_s:
        description: Longest wait for its answer, in seconds.
        type: float
        required: true
  start_timeout_s:
    description: Seconds until it must be ready.
    type: float
    default: 120
  timeout_s:
    description: Seconds for the answers of all names together.
    type: float
    default: 300
attributes:
  check_mode:
    support: full
    description: Does nothing; there may be no proxy to start yet.
  diff_mode:
    support: none
    description: Changes nothing.
"""

EXAMPLES = r"""
- name: Try the new configuration
  homelab.llm.litellm_canary:
    command:
      - /opt/homelab-llm/litellm/environments/0123456789abcdef/bin/python
      - /opt/homelab-llm/litellm/generations/0123456789abcdef/serve_generation.py
      - /opt/homelab-llm/litellm/generations/0123456789abcdef/config.yaml
    folder: /opt/homelab-llm/litellm/generations/0123456789abcdef
    user: homelab-litellm
    names: "{{ litellm_config | homelab.llm.litellm_names }}"
"""

RETURN = r"""
answers:
  description:
    - For each name the alias, answered_by (id of the deployment), seconds, excerpt (chat), dimension (embedding) and error; null
      where there is none. Empty in check mode.
  returned: always
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import canary

NAME = {
    "name": {"type": "str", "required": True},
    "mode": {"type": "str", "choices": ["chat", "embedding"], "required": True},
    "timeout_s": {"type": "float", "required": True},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "list", "elements": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "environment": {"type": "dict", "default": {}},
            "secrets": {"type": "path", "no_log": False},
            "user": {"type": "str", "default": ""},
            "names": {"type": "list", "elements": "dict", "required": True, "options": NAME},
            "start_timeout_s": {"type": "float", "default": 120},
            "timeout_s": {"type": "float", "default": 300},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, answers=[])
    params = dict(module.params, environment={name: str(value) for name, value in module.params["environment"].items()})
    try:
        answers = canary.ask_all(canary.Wanted(**{name: params[name] for name in canary.Wanted._fields}))
    except canary.CanaryFailure as error:
        module.fail_json(msg=f"the canary does not come up: {error}", answers=[])
    refused = canary.refusals(answers)
    if refused:
        told = "; ".join(refused)
        module.fail_json(
            msg=f"the canary came up, but {len(refused)} of {len(answers)} names do not answer: {told}", answers=answers
        )
    module.exit_json(changed=False, answers=answers)


if __name__ == "__main__":
    main()
