"""Door to module_utils.release_fetch: the checksums in a list as sha256sum writes it."""

from __future__ import annotations

from typing import Any

from ..module_utils.release_fetch import parse_checksums

DOCUMENTATION = r"""
name: sha256sums
author: homelab.llm maintainers
version_added: 0.2.0
short_description: The checksums in a list as sha256sum writes it
description:
  - Reads lines of a digest, in either case, and a file, with or without C(./) before the file. Other lines are left out.
options:
  _input:
    description: The text of the list.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the checksum of an archive
  ansible.builtin.debug:
    msg: "{{ (lookup('ansible.builtin.file', 'sha256sum.txt') | homelab.llm.sha256sums)['ollama-linux-amd64.tar.zst'] }}"
"""

RETURN = r"""
_value:
  description: sha256 by file, in lower case.
  type: dict
"""


def _sha256sums(text: Any) -> dict[str, str]:
    return parse_checksums(str(text))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Name of the filter and its function."""
        return {"sha256sums": _sha256sums}
