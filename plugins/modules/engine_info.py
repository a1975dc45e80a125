#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A receipt of what an engine serves and keeps in memory, by its own word."""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_info
author:
  - homelab.llm maintainers (@homelab-llm)
version_added: 0.1.0
short_description: Ask an engine what it serves and keeps in memory
description:
  - Asks only; it loads nothing and generates nothing.
options:
  engine:
    description: Kind of engine.
    type: str
    required: true
    choices: [ollama, llama_cpp, external]
  url:
    description: Address of the engine, or of one model's process, without C(/v1).
    type: str
    required: true
  model:
    description: Name of the model as the engine knows it.
    type: str
    required: true
extends_documentation_fragment: [homelab.llm.reads_only]
"""

EXAMPLES = r"""
- name: Is the model loaded
  homelab.llm.engine_info:
    engine: ollama
    url: http://127.0.0.1:11434
    model: gemma4:26b
"""

RETURN = r"""
receipt:
  description:
    - The engine's word now, with engine, resident (null where the engine cannot tell), models (loaded), available (names that
      can be asked for, null where the engine does not tell), instance (differs after a restart), version, error (null if none).
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.engine import engine_receipt


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "engine": {"type": "str", "required": True, "choices": ["ollama", "llama_cpp", "external"]},
            "url": {"type": "str", "required": True},
            "model": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    receipt = engine_receipt(module.params["engine"], module.params["url"], module.params["model"])
    module.exit_json(changed=False, receipt=receipt)


if __name__ == "__main__":
    main()
