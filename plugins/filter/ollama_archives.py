"""Door to plugin_utils.ollama_archives: which archives of a release of Ollama a host needs."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.archives import ArchiveError
from ..plugin_utils.ollama_archives import ollama_archives

DOCUMENTATION = r"""
name: ollama_archives
author: homelab.llm maintainers
version_added: 0.2.0
short_description: Release archives of Ollama for a host
description:
  - Names the archives of a release of Ollama that a host needs, chosen from its hardware, in the order
    in which they are unpacked.
  - Fails where the release has none for the platform, or where a driver or a GPU is too old for it, and says what to do.
positional: version, backend
options:
  _input:
    description: The C(hardware) that M(homelab.llm.hardware_info) returns.
    type: dict
    required: true
  version:
    description: Release, such as V(0.33.0).
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
    msg: "{{ found.hardware | homelab.llm.ollama_archives('0.33.0') }}"
"""

RETURN = r"""
_value:
  description: Names of archives.
  type: list
  elements: str
  sample: [ollama-linux-amd64.tar.zst, ollama-linux-amd64-rocm.tar.zst]
"""


def _ollama_archives(hardware: Any, version: Any, backend: str | None = None) -> list[str]:
    try:
        return ollama_archives(hardware, version, backend or None)
    except ArchiveError as error:
        raise AnsibleFilterError(f"ollama_archives: {error}") from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"ollama_archives": _ollama_archives}
