"""Door to plugin_utils.ollama_host: the models of a store that the plan does not know."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.ollama_host import foreign_models
from ..plugin_utils.plain import plain

DOCUMENTATION = r"""
name: ollama_foreign
author: homelab.llm maintainers
version_added: 0.2.0
short_description: The models of a store that the plan does not know
description:
  - Leaves out the resident models and those that they are derived from.
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
- name: Report what nobody asked for
  ansible.builtin.debug:
    msg: "{{ ['gemma4:26b', 'mine:latest'] | homelab.llm.ollama_foreign(llm_plan.hosts.star.resident) }}"
"""

RETURN = r"""
_value:
  description: Names, sorted.
  type: list
  elements: str
"""


def _ollama_foreign(installed: Any, resident: Any) -> list[str]:
    return foreign_models(plain(installed), plain(resident))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"ollama_foreign": _ollama_foreign}
