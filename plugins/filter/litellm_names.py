"""Door to plugin_utils.litellm_serving: whom a canary asks."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.litellm_serving import names_to_ask

DOCUMENTATION = r"""
name: litellm_names
author: homelab.llm maintainers
version_added: 0.2.0
short_description: The names that clients of a LiteLLM configuration may call
description:
  - Lists the model groups and the aliases of a configuration that answer a chat or give an embedding.
options:
  _input:
    description: Content of LiteLLM's C(config.yaml).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show whom the canary asks
  ansible.builtin.debug:
    msg: "{{ litellm_config | homelab.llm.litellm_names }}"
"""

RETURN = r"""
_value:
  description: Items with C(name), C(mode) and C(timeout_s), the longest time that an answer may take over all deployments.
  type: list
  elements: dict
"""


def _litellm_names(config: Any) -> list[dict[str, Any]]:
    try:
        return names_to_ask(config)
    except (KeyError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(
            f"litellm_names: got no LiteLLM configuration ({error}); expected a model_list with model_name and litellm_params"
        ) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"litellm_names": _litellm_names}
