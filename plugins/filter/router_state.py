"""Door to plugin_utils.router_state: who serves, by the router's own word."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.router_state import router_state

DOCUMENTATION = r"""
name: router_state
author: homelab.llm maintainers
version_added: 0.2.0
short_description: What the router wrote of itself
description:
  - Reads the C(run/state.json) of the role C(litellm). A text that is no such file, such as one that was cut by a loss of
    power, is the state of a router that never ran.
positional: revision, before
options:
  _input:
    description: Content of the file.
    type: str
    required: true
  revision:
    description: The generation that was asked for.
    type: str
    default: ""
  before:
    description: The state before it was asked for, as this filter gave it. A process that was there then does not count.
    type: dict
"""

EXAMPLES = r"""
- name: Show who serves
  ansible.builtin.debug:
    msg: "{{ (state_file.content | b64decode | homelab.llm.router_state).serving }}"
"""

RETURN = r"""
_value:
  description:
    - pid, launches, generations, last, refused, router, address as they were written; serving, the one generation that answers,
      or null; and verdict, which is V(serves), V(refused) or V(waits).
  type: dict
"""


def _router_state(text: Any, revision: str = "", before: dict[str, Any] | None = None) -> dict[str, Any]:
    if not isinstance(text, str):
        raise AnsibleFilterError(f"router_state: got {type(text).__name__}; expected the text of run/state.json")
    return router_state(text, revision, before)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"router_state": _router_state}
