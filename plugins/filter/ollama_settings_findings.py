"""Door to module_utils.server_settings: what a running Ollama does not have as planned."""

from __future__ import annotations

from typing import Any

from ..module_utils.server_settings import settings_findings
from ..plugin_utils.plain import plain

DOCUMENTATION = r"""
name: ollama_settings_findings
author: homelab.llm maintainers
version_added: 0.2.0
short_description: What a running Ollama does not have as planned
description:
  - Compares planned settings with those that M(homelab.llm.engine_info) found in a running server, however they are spelt.
  - What neither the server's log nor its process tells is passed over.
  - A variable of the process that decides memory and is not planned is a finding.
positional: wanted
options:
  _input:
    description: C(settings) of the receipt of M(homelab.llm.engine_info), or null.
    type: dict
    required: true
  wanted:
    description: Variables and their planned values.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Ask with what the engine runs
  homelab.llm.engine_info:
    engine: ollama
    url: http://127.0.0.1:11434
    find_process: true
  register: asked

- name: Check that it is what was planned
  ansible.builtin.assert:
    that: asked.receipt.settings | homelab.llm.ollama_settings_findings(ollama_settings) | length == 0
"""

RETURN = r"""
_value:
  description: One sentence for each setting that differs.
  type: list
  elements: str
"""


def _ollama_settings_findings(settings: Any, wanted: Any) -> list[str]:
    known = plain(settings) or {}
    return settings_findings(plain(wanted), known.get("environment"), known.get("effective"))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"ollama_settings_findings": _ollama_settings_findings}
