"""Door to plugin_utils.litellm_serving: how long a proxy may take to finish its requests."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.litellm_release import parse_release
from ..plugin_utils.litellm_serving import drain_s

DOCUMENTATION = r"""
name: litellm_drain_s
author: homelab.llm maintainers
version_added: 0.2.0
short_description: How long requests of a LiteLLM configuration may be under way
description:
  - As long as the slowest request can take that asks every order, retry, fallback and tier of its name, each until its timeout,
    and at least twice the slowest timeout. At most half an hour, unless a single timeout is longer.
positional: release
options:
  _input:
    description: Content of LiteLLM's C(config.yaml).
    type: dict
    required: true
  release:
    description: The release of LiteLLM that serves it. Releases go on to others in different ways.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show how long an ended proxy finishes its requests
  ansible.builtin.debug:
    msg: "{{ litellm_config | homelab.llm.litellm_drain_s('1.106.2') }}"
"""

RETURN = r"""
_value:
  description: Seconds.
  type: int
"""


def _litellm_drain_s(config: Any, release: Any) -> int:
    try:
        wanted = parse_release(str(release))
    except ValueError as error:
        raise AnsibleFilterError(f"litellm_drain_s: {error}") from error
    try:
        return drain_s(config, wanted)
    except (TypeError, AttributeError) as error:
        raise AnsibleFilterError(
            f"litellm_drain_s: got no LiteLLM configuration ({error}); expected a model_list with litellm_params"
        ) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"litellm_drain_s": _litellm_drain_s}
