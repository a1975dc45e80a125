#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of an Ollama's store that no model has: found, and removed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_leftovers
short_description: Remove the files of an Ollama's store that no model has
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Interrupted transfers and models that changed while they were fetched leave files behind. An Ollama removes them when it
    starts, and with them what an interrupted pull could go on with; one with C(OLLAMA_NOPRUNE) never does.
  - Removes blobs that no manifest names and unfinished files, unless they were written lately or somebody writes them.
  - Removes nothing where a manifest cannot be read. No model loses a file.
options:
  models_directory:
    description: Directory of the engine's models on the host.
    type: path
    required: true
  older_than_s:
    description: How long a file has to be left alone before it is removed. The default is what Ollama itself waits for.
    type: int
    default: 3600
attributes:
  check_mode:
    description: Says what would be removed.
    support: full
  diff_mode:
    description: Shows the files.
    support: full
  idempotent:
    description: What was removed is not there the next time.
    support: full
"""

EXAMPLES = r"""
- name: Remove what interrupted pulls have left
  homelab.llm.ollama_leftovers:
    models_directory: /opt/homelab-llm/ollama/models
"""

RETURN = r"""
removed:
  description: Names of the files that were, or in check mode would be, removed.
  returned: success
  type: list
  elements: str
freed_bytes:
  description: Disk space that they took.
  returned: success
  type: int
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.store_partials import taken_bytes
from ..module_utils.store_write import Store

ARGUMENTS = {
    "models_directory": {"type": "path", "required": True},
    "older_than_s": {"type": "int", "default": 3600},
}


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if module.params["older_than_s"] < 0:
        module.fail_json(msg=f"got older_than_s {module.params['older_than_s']}, expected seconds, 0 or more")
    try:
        paths = Store(module.params["models_directory"]).left_over(module.params["older_than_s"])
        freed_bytes = taken_bytes(paths)
        for path in paths if not module.check_mode else []:
            os.unlink(path)
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}: run as the owner of the models or as root")
    names = [os.path.basename(path) for path in paths]
    diff = {"before": "".join(f"{name}\n" for name in names), "after": ""}
    module.exit_json(changed=bool(paths), removed=names, freed_bytes=freed_bytes, diff=diff)


if __name__ == "__main__":
    main()
