"""Door to plugin_utils.ollama_host: the whole environment of an Ollama."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.ollama_host import engine_environment
from ..plugin_utils.plain import plain

DOCUMENTATION = r"""
name: ollama_environment
author: homelab.llm maintainers
version_added: 0.2.0
short_description: The whole environment of an Ollama
description:
  - Puts together what the role sets, what the plan has proved, and what the user adds; refuses what would say two things.
positional: settings, more
options:
  _input:
    description: What the role sets itself.
    type: dict
    required: true
  settings:
    description: Variables that decide memory, as the plan has them.
    type: dict
    required: true
  more:
    description:
      - Variables of the user. One that the others have must have the same value.
      - One that decides memory and that the others do not have is refused.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what the engine is started with
  ansible.builtin.debug:
    msg: "{{ {'OLLAMA_HOST': '127.0.0.1:11434'} | homelab.llm.ollama_environment(ollama_settings, ollama_environment) }}"
"""

RETURN = r"""
_value:
  description: Variables and their values, all of them text.
  type: dict
"""


def _ollama_environment(own: Any, settings: Any, more: Any) -> dict[str, str]:
    try:
        return engine_environment(plain(own), plain(settings), plain(more))
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"ollama_environment": _ollama_environment}
