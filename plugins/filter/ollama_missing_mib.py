"""Door to plugin_utils.ollama_host: the room that models need which are not in a store yet."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.ollama_host import missing_mib
from ..plugin_utils.plain import plain

DOCUMENTATION = r"""
name: ollama_missing_mib
author: homelab.llm maintainers
version_added: 0.2.0
short_description: The room that models need which are not in a store yet
description:
  - Adds up the sizes of resident models of which no name is in the store. A model of unknown size counts nothing.
positional: resident
options:
  _input:
    description: Names of the models in the store.
    type: list
    elements: str
    required: true
  resident:
    description: The models of a host, as the plan lists them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what will be fetched
  ansible.builtin.debug:
    msg: "{{ [] | homelab.llm.ollama_missing_mib(llm_plan.hosts.star.resident) | round }} MiB"
"""

RETURN = r"""
_value:
  description: MiB on the disk of the store.
  type: float
"""


def _ollama_missing_mib(installed: Any, resident: Any) -> float:
    return missing_mib(plain(installed), plain(resident))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"ollama_missing_mib": _ollama_missing_mib}
