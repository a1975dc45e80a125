#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: capacity_info
short_description: Memory and disk space of a host
version_added: 0.1.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Reads how much memory a host has and how much space is free where a directory is, or will be. Nothing is changed.
options:
  path:
    description: Directory whose disk is looked at. When it does not exist, the nearest directory above it counts.
    type: path
    required: true
extends_documentation_fragment: [homelab.llm.reads_only]
"""

EXAMPLES = r"""
- name: See whether a model fits on the disk
  homelab.llm.capacity_info:
    path: /opt/homelab-llm/llama_cpp
"""

RETURN = r"""
memory_total_mib:
  description: Physical memory in MiB; null when it cannot be told.
  returned: always
  type: float
disk_free_mib:
  description: Space in MiB that the connecting user may still use.
  returned: always
  type: float
disk_path:
  description: The existing directory that was looked at.
  returned: always
  type: str
"""

import os
import shutil

from ansible.module_utils.basic import AnsibleModule

MIB = 1024 * 1024


def nearest_directory(path: str) -> str:
    """The path itself or the first directory above it that exists."""
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def memory_total_mib() -> float | None:
    """Physical memory, None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / MIB
    except (ValueError, OSError):
        return None


def main() -> None:
    module = AnsibleModule(argument_spec={"path": {"type": "path", "required": True}}, supports_check_mode=True)
    path = nearest_directory(module.params["path"])
    free_mib = shutil.disk_usage(path).free / MIB
    module.exit_json(changed=False, memory_total_mib=memory_total_mib(), disk_path=path, disk_free_mib=free_mib)


if __name__ == "__main__":
    main()
