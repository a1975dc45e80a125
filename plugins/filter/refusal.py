"""Door to plugin_utils.refusal: why a host was refused."""

from __future__ import annotations

from typing import Any

from ..plugin_utils.plain import plain
from ..plugin_utils.refusal import refusal

DOCUMENTATION = r"""
name: refusal
author: homelab.llm maintainers
version_added: 0.2.0
short_description: Why a host was refused
description:
  - Makes one sentence of the result of a task that failed, beginning with the host. Of a loop the first failed item speaks.
positional: task, host
options:
  _input:
    description: C(ansible_failed_result) in a rescue.
    type: dict
    required: true
  task:
    description: Name of the task, which is said where the result says nothing.
    type: str
    required: true
  host:
    description: The host.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Look, and keep the refusal
  block:
    - name: Look for the archives
      ansible.builtin.assert:
        that: item is file
        fail_msg: "{{ item }} is no file"
      loop: [/srv/engine.tgz]
  rescue:
    - name: Note the refusal
      ansible.builtin.set_fact:
        refused: "{{ ansible_failed_result | homelab.llm.refusal(ansible_failed_task.name, inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: The sentence.
  type: str
"""


def _refusal(result: Any, task: str, host: str) -> str:
    return refusal(plain(result), str(task), str(host))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"refusal": _refusal}
