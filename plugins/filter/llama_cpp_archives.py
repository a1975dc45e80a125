"""Door to plugin_utils.llama_cpp_archives: which archives of a release of llama.cpp a host needs."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.archives import ArchiveError
from ..plugin_utils.llama_cpp_archives import llama_cpp_archives

DOCUMENTATION = r"""
name: llama_cpp_archives
author: homelab.llm maintainers
version_added: 0.2.0
short_description: Release archives of llama.cpp for a host
description:
  - Names the archives of a release of llama.cpp that a host needs, chosen from its hardware, in the order
    in which they are unpacked.
  - Fails where the release has none for the platform, or where a driver or a GPU is too old for it, and says what to do.
positional: build, backend
options:
  _input:
    description: The C(hardware) that M(homelab.llm.hardware_info) returns.
    type: dict
    required: true
  build:
    description: Build, such as V(b10488).
    type: str
    required: true
  backend:
    description:
      - What the engine is to compute with. It is taken at its word; drivers are not checked then.
      - Chosen from the hardware where it is not given.
    type: str
    choices: [cuda, rocm, vulkan, metal, cpu]
"""

EXAMPLES = r"""
- name: See what the host has
  homelab.llm.hardware_info:
  register: found

- name: Show the archives for it
  ansible.builtin.debug:
    msg: "{{ found.hardware | homelab.llm.llama_cpp_archives('b10488') }}"
"""

RETURN = r"""
_value:
  description: Names of archives.
  type: list
  elements: str
  sample: [llama-b10488-bin-ubuntu-vulkan-x64.tar.gz]
"""


def _llama_cpp_archives(hardware: Any, build: Any, backend: str | None = None) -> list[str]:
    try:
        return llama_cpp_archives(hardware, build, backend or None)
    except ArchiveError as error:
        raise AnsibleFilterError(f"llama_cpp_archives: {error}") from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"llama_cpp_archives": _llama_cpp_archives}
