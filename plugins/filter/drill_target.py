"""Door to plugin_utils.verification: which host a drill stops, and which aliases have to survive that."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.verification import drill_target, drilled_aliases

DOCUMENTATION = r"""
name: drill_target
author: homelab.llm maintainers
version_added: 0.1.0
short_description: The host that a drill stops and the aliases that must survive
description:
  - Chooses the managed host that comes first for most aliases with a second deployment, unless a host is named.
positional: host
options:
  _input:
    description: The plan as made by M(homelab.llm.plan).
    type: dict
    required: true
  host:
    description: The host to stop.
    type: str
"""

EXAMPLES = r"""
- name: Show what a drill would do
  ansible.builtin.debug:
    msg: "{{ llm_plan | homelab.llm.drill_target }}"
"""

RETURN = r"""
_value:
  description:
    - C(host), and C(aliases) that lose their first deployment and keep another; C(refusal) says why there is no such host, or is
      null.
  type: dict
"""


def _drill_target(plan: dict[str, Any], host: str | None = None) -> dict[str, Any]:
    try:
        target = drill_target(plan, host or None)
    except ValueError as error:
        return {"host": None, "aliases": [], "refusal": str(error)}
    return {"host": target, "aliases": drilled_aliases(plan, target), "refusal": None}


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"drill_target": _drill_target}
