"""Door to plugin_utils.routing: the LiteLLM configuration of a plan."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.routing import litellm_config

DOCUMENTATION = r"""
name: litellm_config
author: homelab.llm maintainers
version_added: 0.1.0
short_description: The LiteLLM configuration of a plan
description:
  - Turns a plan into the content of LiteLLM's C(config.yaml), one model group per alias with ordered deployments.
options:
  _input:
    description: The plan as made by M(homelab.llm.plan).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the configuration that the plan leads to
  ansible.builtin.debug:
    msg: "{{ llm_plan | homelab.llm.litellm_config | to_nice_yaml }}"
"""

RETURN = r"""
_value:
  description: The configuration, without any secret.
  type: dict
"""


def _litellm_config(plan: Any) -> dict[str, Any]:
    try:
        return litellm_config(plan)
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"litellm_config: got no plan (missing {error}); expected llm_plan") from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"litellm_config": _litellm_config}
