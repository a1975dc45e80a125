"""Door to plugin_utils.routing_text: LiteLLM's configuration as the text of its file."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.plain import plain
from ..plugin_utils.routing_text import config_text

DOCUMENTATION = r"""
name: litellm_config_text
author: homelab.llm maintainers
version_added: 0.1.0
short_description: The text of LiteLLM's configuration file
description:
  - Writes a configuration as YAML, the same bytes for the same configuration.
  - A header names the inventory and a hash of the content. What changes in a plan and not in its routing changes nothing here.
options:
  _input:
    description: The configuration, as made by P(homelab.llm.litellm_config#filter) or written by hand.
    type: dict
    required: true
  inventory:
    description: Name of the inventory that the configuration comes from, as the plan says it.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Write the configuration
  ansible.builtin.copy:
    content: "{{ llm_plan | homelab.llm.litellm_config | homelab.llm.litellm_config_text(llm_plan.inventory) }}"
    dest: /etc/litellm/config.yaml
    mode: "0640"
"""

RETURN = r"""
_value:
  description: The text of the file, without any secret.
  type: str
"""


def _litellm_config_text(config: Any, inventory: Any) -> str:
    if not isinstance(config, dict) or not isinstance(inventory, str):
        kinds = f"{type(config).__name__} and {type(inventory).__name__}"
        raise AnsibleFilterError(f"litellm_config_text: got {kinds}; expected a mapping and the name of an inventory")
    return config_text(plain(config), plain(inventory))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"litellm_config_text": _litellm_config_text}
