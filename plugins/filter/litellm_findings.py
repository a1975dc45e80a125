"""Door to plugin_utils.audit: what is wrong in a LiteLLM configuration."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.audit.check import AuditError, check

DOCUMENTATION = r"""
name: litellm_findings
author: homelab.llm maintainers
version_added: 0.1.0
short_description: What is wrong in a LiteLLM configuration
description:
  - Holds the text of a configuration against every rule that is known for the release of LiteLLM that runs it.
  - LiteLLM itself is not needed for it, and nothing is contacted.
positional: litellm_version, environment
options:
  _input:
    description: The content of LiteLLM's C(config.yaml).
    type: str
    required: true
  litellm_version:
    description: The release that runs it. The default is the one that the role C(homelab.llm.litellm) installs.
    type: str
  environment:
    description: Names of variables that the proxy's process has.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Refuse a configuration with errors
  ansible.builtin.assert:
    that: errors | length == 0
    fail_msg: "{{ errors | map(attribute='mend') | join('; ') }}"
  vars:
    errors: "{{ config_text | homelab.llm.litellm_findings('1.106.2') | selectattr('severity', 'eq', 'error') }}"
"""

RETURN = r"""
_value:
  description:
    - The findings by severity (error, warning, advice) and line.
    - Each has C(rule), C(severity), C(path), C(line), C(got), C(expected), C(why), C(mend) and C(versions).
  type: list
  elements: dict
"""


def _litellm_findings(text: Any, litellm_version: Any = None, environment: Any = ()) -> list[dict[str, Any]]:
    if not isinstance(text, str):
        raise AnsibleFilterError(f"litellm_findings: got {type(text).__name__}; expected the text of a config.yaml")
    try:
        return check(text.encode(), litellm_version, list(environment))
    except AuditError as error:
        raise AnsibleFilterError(f"litellm_findings: {error}") from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"litellm_findings": _litellm_findings}
