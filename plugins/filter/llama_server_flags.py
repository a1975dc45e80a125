"""Door to plugin_utils.llama_server_flags: the flags of a llama-server for one resident model."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.llama_server_flags import FlagsError, server_flags
from ..plugin_utils.plain import plain

DOCUMENTATION = r"""
name: llama_server_flags
author: homelab.llm maintainers
version_added: 0.2.0
short_description: The flags of a llama-server for one resident model
description:
  - Writes out all that decides memory and placement, so that a server takes what was planned whatever its own defaults are.
positional: path, options
options:
  _input:
    description: A resident model of the plan, C(hosts.NAME.resident).
    type: dict
    required: true
  path:
    description: The model's GGUF file on the host.
    type: str
    required: true
  options:
    description: >-
      C(cache_ram_mib), C(flash_attention), and C(load_mode), C(log_verbosity) and C(threads), of which null or an empty
      text leaves the flag out.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show how a model would be served
  ansible.builtin.debug:
    msg: >-
      {{ plan.hosts.mini.resident[0] | homelab.llm.llama_server_flags('/models/small.gguf',
         {'cache_ram_mib': 0, 'flash_attention': 'auto', 'load_mode': 'auto'}) | join(' ') }}
"""

RETURN = r"""
_value:
  description: The words of the command line after the program.
  type: list
  elements: str
"""


def _llama_server_flags(model: Any, path: Any, options: Any) -> list[str]:
    try:
        return server_flags(plain(model), str(path), plain(options))
    except FlagsError as error:
        raise AnsibleFilterError(f"llama_server_flags: {error}") from error
    except KeyError as error:
        raise AnsibleFilterError(
            f"llama_server_flags: got a model without {error}; expected a resident model of plan.yml"
        ) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"llama_server_flags": _llama_server_flags}
