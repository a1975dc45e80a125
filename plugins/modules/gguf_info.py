#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a GGUF header on the host and compares it with what the inventory declares."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gguf_info
author:
  - homelab.llm maintainers (@homelab-llm)
version_added: 0.1.0
short_description: Read the header of a GGUF file and compare it with what was declared
description:
  - Returns the metadata that decide a model's memory.
  - Fails where a declared size or shape disagrees with the file, because then the plan's proof of fit was computed from
    something that is not there.
options:
  path:
    description: The GGUF file on this host.
    type: path
    required: true
  declared_shape:
    description: Shape as declared in the inventory, C(declared.shape) of a model; keys without a value say nothing.
    type: dict
    default: {}
  declared_file_bytes:
    description: Size of the file as declared in the inventory.
    type: int
extends_documentation_fragment: [homelab.llm.reads_only]
"""

EXAMPLES = r"""
- name: Read the header of a model
  homelab.llm.gguf_info:
    path: /models/small.gguf
"""

RETURN = r"""
file_bytes:
  description: Size of the file in bytes.
  returned: success
  type: int
shape:
  description: What decides the KV cache, without the prefix of the architecture.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.gguf import GgufError, read_header
from ..module_utils.declared_shape import difference_of_shapes, shape_of
from ..module_utils.model_shape import MemoryShapeError


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "declared_shape": {"type": "dict", "default": {}},
            "declared_file_bytes": {"type": "int"},
        },
        supports_check_mode=True,
    )
    try:
        header = read_header(module.params["path"])
        shape = shape_of(header["metadata"])
    except (GgufError, MemoryShapeError) as error:
        module.fail_json(msg=f"{error}. Check the model's source in llm_models.")
    declared = {**(module.params["declared_shape"] or {}), "file_bytes": module.params["declared_file_bytes"]}
    differences = difference_of_shapes(declared, {**shape, "file_bytes": header["file_bytes"]})
    if differences:
        listed = ", ".join(f"{key}: declared {item['declared']}, found {item['found']}" for key, item in differences.items())
        module.fail_json(
            msg=f"{module.params['path']}: the header is not what the plan was made from ({listed}). "
            "Correct declared of this model in llm_models, then plan again."
        )
    module.exit_json(changed=False, file_bytes=header["file_bytes"], shape=shape)


if __name__ == "__main__":
    main()
