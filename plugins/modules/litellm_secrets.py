#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: litellm_secrets
short_description: Secrets of one generation of the router
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - A generation of the router has its secrets in its own folder, each of mode 0600. C(router.env) has the variables, one
    C(NAME=value) a line, and C(clients.json) the SHA-256 digests of its clients' keys with their names and models.
  - Without O(folder) it only looks, and says whether they are those of the generation that serves. With it they are written.
  - What a generation already has is never touched, so that it goes on with its own secrets until another one serves.
  - No secret is ever returned or shown.
options:
  secrets:
    description:
      - The variables by their names. With C(LITELLM_MASTER_KEY) null the key of the generation in O(current) is kept, else that
        of O(former), else one is made when the file is written.
    type: dict
    required: true
  models:
    description: The names that each client may call, by the client's name.
    type: dict
    default: {}
  keys:
    description: Clients' keys that were given, by the client's name.
    type: dict
    default: {}
  clients:
    description: Directory of the clients' keys that were made, see M(homelab.llm.litellm_clients).
    type: path
    required: true
  current:
    description: Folder of the generation that serves, or a link to it. It need not exist.
    type: path
    required: true
  former:
    description: File of variables that an earlier layout may have left.
    type: path
    required: true
  folder:
    description: Folder to write into. Without it nothing is written.
    type: path
  edition:
    description: The edition to write, as this module returned it.
    type: str
    default: ""
  owner:
    description: System user that the files belong to. Empty for the connecting one.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Predicts the change without touching the host, also where nothing exists yet.
  diff_mode:
    support: none
    description: What changes is secret.
  idempotent:
    support: full
    description: The edition stays until a secret, a client or its models are others.
"""

EXAMPLES = r"""
- name: See whether the secrets are those that serve
  homelab.llm.litellm_secrets:
    secrets: { LITELLM_MASTER_KEY: "{{ vault_master_key }}", REDIS_PASSWORD: "{{ vault_redis_password }}" }
    clients: /opt/homelab-llm/litellm/clients
    current: /opt/homelab-llm/litellm/current
    former: /opt/homelab-llm/litellm/router.env
"""

RETURN = r"""
edition:
  description:
    - Random words that stand for the secrets and reveal nothing of them. Those of the generation in O(current) where nothing is
      another, else others.
  returned: always
  type: str
engines:
  description:
    - The part of RV(edition) that stands for the variables that engines may ask for. All but the master key and what leads to
      databases and Redis. It stays when only other secrets, clients and their models have changed.
  returned: always
  type: str
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import client_keys, generation_secrets


def run(module: AnsibleModule) -> dict[str, Any]:
    """Look, and write where a folder is named."""
    params = module.params
    given = generation_secrets.Given(params["secrets"], params["models"], params["keys"], params["clients"])
    current = generation_secrets.kept_in(params["current"])
    if not params["folder"]:
        return told(False, generation_secrets.edition_of(given, current, params["former"]))
    generation_secrets.check(given)
    changed = generation_secrets.write(
        params["folder"], params["edition"], given, current, params["former"], params["owner"], module.check_mode
    )
    return told(changed, params["edition"])


def told(changed: bool, edition: str) -> dict[str, Any]:
    return {"changed": changed, "edition": edition, "engines": generation_secrets.engines_of(edition)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "secrets": {"type": "dict", "required": True, "no_log": True},
            "models": {"type": "dict", "default": {}},
            "keys": {"type": "dict", "default": {}, "no_log": True},
            "clients": {"type": "path", "required": True},
            "current": {"type": "path", "required": True},
            "former": {"type": "path", "required": True},
            "folder": {"type": "path"},
            "edition": {"type": "str", "default": ""},
            "owner": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    os.umask(0o077)
    try:
        module.exit_json(**run(module))
    except (client_keys.ClientError, generation_secrets.SecretsError) as error:
        module.fail_json(msg=str(error))
    except (OSError, KeyError, UnicodeDecodeError) as error:
        module.fail_json(msg=f"{module.params['folder'] or module.params['current']}: {error}; the secrets are as they were")


if __name__ == "__main__":
    main()
