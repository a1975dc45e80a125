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
  - Of a model that is split over several files O(path) is the first one, and the others lie beside it; what is returned is
    said of all of them together.
  - Fails where the file is damaged, cut off or no file that llama.cpp would load.
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
    description: Size of the file as declared in the inventory, of a split model that of all its files together.
    type: int
extends_documentation_fragment: [homelab.llm.reads_only]
"""

EXAMPLES = r"""
- name: Read the header of a model
  homelab.llm.gguf_info:
    path: /models/small.gguf

- name: Check the first of several files and those beside it against what the inventory declares
  homelab.llm.gguf_info:
    path: /models/large-00001-of-00003.gguf
    declared_file_bytes: 68719476736
    declared_shape:
      architecture: llama
      block_count: 80
"""

RETURN = r"""
file_bytes:
  description: Size of the model in bytes, over all its files.
  returned: success
  type: int
files:
  description: Of how many files the model consists.
  returned: success
  type: int
  sample: 1
shape:
  description: What decides the KV cache, without the prefix of the architecture.
  returned: success
  type: dict
tensor_count:
  description: Number of tensors in all files.
  returned: success
  type: int
tensors_bytes:
  description: Size of all tensors in bytes; null where the type of one is not known to this version of the collection.
  returned: success
  type: int
version:
  description: Version of the GGUF format.
  returned: success
  type: int
  sample: 3
vocabulary:
  description: Number of tokens the tokenizer knows; null where the file has no tokenizer.
  returned: success
  type: int
  sample: 49152
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.declared_shape import difference_of_shapes, shape_of
from ..module_utils.gguf import GgufError, Header, length_of, read_header
from ..module_utils.model_shape import MemoryShapeError


def facts(header: Header) -> dict[str, object]:
    """What is returned beside the shape."""
    return {
        "file_bytes": header.file_bytes,
        "files": header.parts,
        "version": header.version,
        "tensor_count": len(header.tensors),
        "tensors_bytes": header.tensors_bytes,
        "vocabulary": length_of(header.metadata.get("tokenizer.ggml.tokens")),
    }


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
        shape = shape_of(header.metadata)
    except (GgufError, MemoryShapeError) as error:
        module.fail_json(msg=f"{error}. Check the model's source in llm_models.")
    declared = {**(module.params["declared_shape"] or {}), "file_bytes": module.params["declared_file_bytes"]}
    differences = difference_of_shapes(declared, {**shape, "file_bytes": header.file_bytes})
    if differences:
        listed = ", ".join(f"{key}: declared {item['declared']}, found {item['found']}" for key, item in differences.items())
        module.fail_json(
            msg=f"{module.params['path']}: the header is not what the plan was made from ({listed}). "
            "Correct declared of this model in llm_models, then plan again."
        )
    module.exit_json(changed=False, shape=shape, **facts(header))


if __name__ == "__main__":
    main()
