"""Door to plugin_utils.litellm_canary: what a canary is started with and asked."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.litellm_canary import canary_work
from ..plugin_utils.plain import plain

DOCUMENTATION = r"""
name: litellm_canary_work
author: homelab.llm maintainers
version_added: 0.2.0
short_description: What a canary of a LiteLLM configuration is started with and asked
description:
  - Makes a copy of a configuration that shares nothing with a proxy that serves, and lists every deployment and every name that
    can be asked with a few words.
options:
  _input:
    description: Content of LiteLLM's C(config.yaml).
    type: dict
    required: true
  serving:
    description: Content of the C(config.yaml) that serves. Deployments that stand in it unchanged are marked.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show whom the canary asks
  ansible.builtin.debug:
    msg: "{{ (litellm_config | homelab.llm.litellm_canary_work).questions }}"
"""

RETURN = r"""
_value:
  description:
    - C(config), the copy. No Redis, cache, database, callbacks, alerts, health checks and cooldowns; every deployment has an id.
    - C(digest), which is another one where the copy is another one, whoever the clients are.
    - C(questions), items as M(homelab.llm.litellm_canary) takes them.
    - C(not_asked), a sentence for each name that cannot be asked.
  type: dict
"""


def _litellm_canary_work(config: Any, serving: Any = None) -> dict[str, Any]:
    try:
        return canary_work(plain(config), plain(serving))
    except (KeyError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(
            f"litellm_canary_work: got no configuration ({error}); expected model_name and litellm_params in its model_list"
        ) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"litellm_canary_work": _litellm_canary_work}
