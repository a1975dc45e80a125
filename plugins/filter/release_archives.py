"""Door to plugin_utils.ollama_archives and llama_cpp_archives: which archives of a release a host needs."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.archives import ArchiveError
from ..plugin_utils.llama_cpp_archives import llama_cpp_archives
from ..plugin_utils.ollama_archives import ollama_archives

DOCUMENTATION = r"""
name: release_archives
author: homelab.llm maintainers
version_added: 0.2.0
short_description: Release archives of an engine for a host
description:
  - Names the archives of a release that a host needs, chosen from its hardware, in the order in which they are unpacked.
  - Fails where the release has none for the platform, or where a driver or a GPU is too old for it, and says what to do.
positional: engine, version, backend
options:
  _input:
    description: The C(hardware) that M(homelab.llm.hardware_info) returns.
    type: dict
    required: true
  engine:
    description: The engine.
    type: str
    choices: [ollama, llama_cpp]
    required: true
  version:
    description: Release, such as V(0.33.0) of Ollama, or build, such as V(b10488) of llama.cpp.
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
    msg: "{{ found.hardware | homelab.llm.release_archives('llama_cpp', 'b10488') }}"
"""

RETURN = r"""
_value:
  description: Names of archives.
  type: list
  elements: str
  sample: [ollama-linux-amd64.tar.zst, ollama-linux-amd64-rocm.tar.zst]
"""

CHOICES = {"ollama": ollama_archives, "llama_cpp": llama_cpp_archives}


def _release_archives(hardware: Any, engine: str, version: Any, backend: str | None = None) -> list[str]:
    if engine not in CHOICES:
        raise AnsibleFilterError(f"release_archives: got engine {engine!r}, expected one of {', '.join(CHOICES)}")
    try:
        return CHOICES[engine](hardware, version, backend or None)
    except ArchiveError as error:
        raise AnsibleFilterError(f"release_archives: {error}") from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"release_archives": _release_archives}
