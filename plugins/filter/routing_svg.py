"""Door to plugin_utils.routing_svg: the routing of a plan as an SVG picture."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.plain import plain
from ..plugin_utils.routing_svg import svg

DOCUMENTATION = r"""
name: routing_svg
author: homelab.llm maintainers
version_added: 0.1.0
short_description: The routing of a plan as an SVG picture
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
    content: "{{ llm_plan | homelab.llm.routing_svg }}"
    dest: routing.svg
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The text of the picture.
  type: str
"""


def _routing_svg(plan: Any) -> str:
    try:
        return svg(plain(plan))
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"routing_svg: got no plan (missing {error}); expected llm_plan") from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"routing_svg": _routing_svg}
