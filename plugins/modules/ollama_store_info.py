#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in an Ollama's store, read as files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_store_info
short_description: Which models are in an Ollama's store
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Reads the manifests below a directory of models, and looks whether their files are there. No engine has to run.
options:
  models_directory:
    description: Directory of an engine's models on the host. Where it does not exist, there are no models.
    type: path
    required: true
extends_documentation_fragment: [homelab.llm.reads_only]
"""

EXAMPLES = r"""
- name: See what needs no room any more
  homelab.llm.ollama_store_info:
    models_directory: /opt/homelab-llm/ollama/models
"""

RETURN = r"""
models:
  description: Complete names of the models of which every file is there with its size, sorted.
  returned: always
  type: list
  elements: str
  sample: ["registry.ollama.ai/library/gemma4:26b"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ollama_store import stored_models


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(argument_spec={"models_directory": {"type": "path", "required": True}}, supports_check_mode=True)
    module.exit_json(changed=False, models=stored_models(module.params["models_directory"]))


if __name__ == "__main__":
    main()
