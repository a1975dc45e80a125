#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: litellm_clients
short_description: Keys of the router's clients
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Makes a key for every client that was given none, once, into a file of mode 0600 of its own.
  - With O(prune) it removes instead the keys that were made for clients that are gone or have been given one.
  - No key is ever returned or shown.
options:
  models:
    description: The names that each client may call, by the client's name. What it may fall back to has to be among them.
    type: dict
    required: true
  keys:
    description: Keys that were given, by the client's name; null or nothing for one that is made.
    type: dict
    default: {}
  directory:
    description: Directory of the generated keys, C(NAME.key). Made, with mode 0700, when there is a key to keep.
    type: path
    required: true
  prune:
    description: Whether to remove the keys that nobody has any more, instead of making those that lack.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Predicts the change without touching the host, also where nothing exists yet.
  diff_mode:
    support: none
    description: What changes is secret.
  idempotent:
    support: full
    description: A key is made once.
"""

EXAMPLES = r"""
- name: Give two clients their keys
  homelab.llm.litellm_clients:
    models: { home-assistant: [tools_fast], notebook: [coding, reasoning_slow] }
    keys: { notebook: "{{ vault_notebook_key }}" }
    directory: /opt/homelab-llm/litellm/clients
"""

RETURN = r"""
made:
  description: Clients that got, or would get, a key.
  returned: always
  type: list
  elements: str
removed:
  description: Clients whose generated key was, or would be, removed.
  returned: always
  type: list
  elements: str
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import client_keys


def run(module: AnsibleModule) -> dict[str, Any]:
    """Look, decide, act, report."""
    models, given, directory = module.params["models"], module.params["keys"], module.params["directory"]
    client_keys.check(models, given)
    needed = client_keys.work(models, given, client_keys.present_names(directory))
    made, removed = ([], needed.remove) if module.params["prune"] else (needed.make, [])
    if not module.check_mode:
        client_keys.make(directory, made)
        client_keys.remove(directory, removed)
    return {"changed": bool(made or removed), "made": made, "removed": removed}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "models": {"type": "dict", "required": True},
            "keys": {"type": "dict", "default": {}, "no_log": True},
            "directory": {"type": "path", "required": True},
            "prune": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    os.umask(0o077)
    try:
        module.exit_json(**run(module))
    except client_keys.ClientError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{module.params['directory']}: {error}; the clients' keys are as they were")


if __name__ == "__main__":
    main()
