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
  - Also tells where the file of a model in an Ollama's store is, and whether a user may read a file.
options:
  path:
    description: The GGUF file on this host.
    type: path
  ollama_model:
    description: A model that is looked for in an Ollama's store instead, by its name there, such as C(gemma4:26b).
    type: str
  ollama_models_directory:
    description: The store, OLLAMA_MODELS of that Ollama.
    type: path
    default: /usr/share/ollama/.ollama/models
  reader:
    description:
      - A user who has to be able to read the file; the module fails where it may not. One that is not there yet is taken as
        one without any right of its own. Only root can ask for another user than itself.
    type: str
  reader_groups:
    description: Groups that the reader has besides its own.
    type: list
    elements: str
    default: []
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

- name: Find the file of a model that an Ollama has pulled, and see that a server may read it
  homelab.llm.gguf_info:
    ollama_model: gemma4:26b
    reader: homelab-llama-cpp
    reader_groups: [ollama]
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
path:
  description: The GGUF file.
  returned: success
  type: str
real_path:
  description: The same without symbolic links.
  returned: success
  type: str
sha256:
  description: sha256 of the file as the name of a blob in Ollama's store says it; null for a path that was given.
  returned: success
  type: str
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

import os
from typing import Any, Mapping, Sequence

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.declared_shape import difference_of_shapes, shape_of
from ..module_utils.gguf import GgufError, Header, length_of, read_header
from ..module_utils.model_shape import MemoryShapeError
from ..module_utils.ollama_store import find_model_file
from ..module_utils.readable import UnknownGroup, closed_part, describe, find_reader

# The service that Ollama's own script for Linux makes keeps its models there (docs/faq of Ollama v0.33.0).
STORE = "/usr/share/ollama/.ollama/models"


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


def locate(parameters: Mapping[str, Any]) -> tuple[str, str | None]:
    """Path of the file and the sha256 that its store says. Raises GgufError where a store does not have the model."""
    if parameters["ollama_model"]:
        return find_model_file(parameters["ollama_models_directory"], parameters["ollama_model"])
    return parameters["path"], None


def check_reader(path: str, name: str | None, groups: Sequence[str]) -> None:
    """Raises GgufError where the reader may not read the file."""
    if not name:
        return
    try:
        reader = find_reader(name, groups)
    except UnknownGroup as error:
        raise GgufError(f"{path}: {error}") from error
    part = closed_part(path, reader)
    if part:
        raise GgufError(f"{path}: {describe(part, reader)}")


def difference(parameters: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Where the header differs from what was declared, as text; empty where it does not."""
    declared = {**(parameters["declared_shape"] or {}), "file_bytes": parameters["declared_file_bytes"]}
    differences = difference_of_shapes(declared, found)
    return ", ".join(f"{key}: declared {item['declared']}, found {item['found']}" for key, item in differences.items())


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "ollama_model": {"type": "str"},
            "ollama_models_directory": {"type": "path", "default": STORE},
            "reader": {"type": "str"},
            "reader_groups": {"type": "list", "elements": "str", "default": []},
            "declared_shape": {"type": "dict", "default": {}},
            "declared_file_bytes": {"type": "int"},
        },
        required_one_of=[("path", "ollama_model")],
        mutually_exclusive=[("path", "ollama_model")],
        supports_check_mode=True,
    )
    try:
        path, sha256 = locate(module.params)
        header = read_header(path)
        shape = shape_of(header.metadata)
        check_reader(path, module.params["reader"], module.params["reader_groups"])
    except (GgufError, MemoryShapeError) as error:
        module.fail_json(msg=f"{error}. Check the model's source in llm_models.")
    differing = difference(module.params, {**shape, "file_bytes": header.file_bytes})
    if differing:
        module.fail_json(
            msg=f"{path}: the header is not what the plan was made from ({differing}). "
            "Correct declared of this model in llm_models, then plan again."
        )
    module.exit_json(changed=False, path=path, real_path=os.path.realpath(path), sha256=sha256, shape=shape, **facts(header))


if __name__ == "__main__":
    main()
