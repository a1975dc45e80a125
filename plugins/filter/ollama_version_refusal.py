"""Door to plugin_utils.ollama_host: does the plan's proof hold for this version of Ollama?"""

from __future__ import annotations

from typing import Any

from ..plugin_utils.ollama_host import version_refusal

DOCUMENTATION = r"""
name: ollama_version_refusal
author: homelab.llm maintainers
version_added: 0.2.0
short_description: Why a version of Ollama cannot be planned for
description:
  - A plan proves that an engine keeps its models by the rules of the engine's own scheduler. Says why there is none.
options:
  _input:
    description: The version, such as V(0.33.0).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse a version whose scheduler is not known
  ansible.builtin.assert:
    that: (ollama_version | homelab.llm.ollama_version_refusal) is none
"""

RETURN = r"""
_value:
  description: What is wrong and what to do, or null where the version's scheduler is known.
  type: str
"""


def _ollama_version_refusal(version: Any) -> str | None:
    return version_refusal(str(version))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"ollama_version_refusal": _ollama_version_refusal}
