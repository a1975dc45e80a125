"""Door to plugin_utils.routing_mermaid: the routing of a plan as Mermaid text."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.plain import plain
from ..plugin_utils.routing_mermaid import mermaid

DOCUMENTATION = r"""
name: routing_mermaid
author: homelab.llm maintainers
version_added: 0.1.0
short_description: The routing of a plan as Mermaid text
description:
  - Draws where requests go, from clients over aliases to the models on their hosts, and who answers when all of these are down.
  - The same plan always gives the same text.
options:
  _input:
    description: The plan as made by M(homelab.llm.plan).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Keep the picture
  ansible.builtin.copy:
    content: "{{ llm_plan | homelab.llm.routing_mermaid }}"
    dest: routing.mmd
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The text of the picture.
  type: str
"""


def _routing_mermaid(plan: Any) -> str:
    try:
        return mermaid(plain(plan))
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"routing_mermaid: got no plan (missing {error}); expected llm_plan") from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"routing_mermaid": _routing_mermaid}
