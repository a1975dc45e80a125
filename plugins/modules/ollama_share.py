#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets one other host take models out of this host's store, for a while."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_share
short_description: Let another host copy models out of this host's Ollama store
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Starts a small server that gives the named models, and nothing else, to one address that knows a random token, in the protocol
    of a registry. It only reads, listens on one address, and ends by itself.
  - Give O(ignore:url) and C(token) of its result to O(homelab.llm.ollama_model#module:copy_from) on the other host, and stop it
    afterwards. Register the result with C(no_log), because it holds the token.
options:
  state:
    description: V(started) starts a share of its own each time; V(stopped) ends the one at O(url), or all that this user started.
    type: str
    choices: [started, stopped]
    default: started
  models:
    description: Names of the models. Those that are not in the store are left out of the result.
    type: list
    elements: str
    default: []
  models_directory:
    description: Directory of the engine's models. Required with O(state=started).
    type: path
  address:
    description: Address of this host that is listened on. Required with O(state=started).
    type: str
  port:
    description: Port; 0 takes a free one.
    type: int
    default: 0
  allowed_address:
    description: The address that may connect. Required with O(state=started).
    type: str
  url:
    description: With O(state=stopped), the share that ends.
    type: str
  idle_s:
    description: Seconds without a request after which the share ends.
    type: int
    default: 600
  limit_s:
    description: Seconds after which the share ends in any case.
    type: int
    default: 86400
  directory:
    description: Private directory in which running shares are remembered. Default is C(homelab-llm-shares) in the user's runtime
      directory, C(/run) for root.
    type: path
attributes:
  check_mode:
    description: Starts and stops nothing.
    support: full
  diff_mode:
    description: Nothing to compare.
    support: none
  idempotent:
    description: V(stopped) only; every start is a new share with a new token.
    support: partial
"""

EXAMPLES = r"""
- name: Let the second host copy a model from the first
  homelab.llm.ollama_share:
    models: [gemma4:26b]
    models_directory: /opt/homelab-llm/ollama/models
    address: 192.0.2.11
    allowed_address: 192.0.2.12
  delegate_to: first
  register: share
  no_log: true

- name: Copy it
  homelab.llm.ollama_model:
    name: gemma4:26b
    models_directory: /opt/homelab-llm/ollama/models
    models_owner: homelab-ollama
    copy_from:
      url: "{{ share.url }}"
      token: "{{ share.token }}"

- name: End the share
  homelab.llm.ollama_share:
    state: stopped
    url: "{{ share.url }}"
  delegate_to: first
"""

RETURN = r"""
url:
  description: Address of the share; null where nothing was started because none of the models is there, or in check mode.
  returned: success
  type: str
token:
  description: What the other host has to show; null as O(ignore:url).
  returned: success
  type: str
models:
  description: Complete names of the models that the share has.
  returned: success
  type: list
  elements: str
msg:
  description: What was done, in a sentence.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.share_process import ShareProblem, started, stopped

ARGUMENTS = {
    "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
    "models": {"type": "list", "elements": "str", "default": []},
    "models_directory": {"type": "path"},
    "address": {"type": "str"},
    "port": {"type": "int", "default": 0},
    "allowed_address": {"type": "str"},
    "url": {"type": "str"},
    "idle_s": {"type": "int", "default": 600},
    "limit_s": {"type": "int", "default": 86400},
    "directory": {"type": "path"},
}


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[("state", "started", ["models_directory", "address", "allowed_address"])],
        supports_check_mode=True,
    )
    params = module.params
    try:
        if params["state"] == "stopped":
            result = stopped(params["directory"], params["url"], module.check_mode)
        else:
            result = started(params, module.check_mode)
    except ShareProblem as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
