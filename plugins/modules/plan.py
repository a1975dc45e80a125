#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action homelab.llm.plan; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plan
author:
  - homelab.llm maintainers (@homelab-llm)
version_added: 0.1.0
short_description: Plan which host keeps which models in memory and where each alias goes
description:
  - Reads the inventory's intent (the variables C(llm_models), C(llm_workloads), C(llm_policy), C(llm_assignments), C(llm_router)
    and each host's C(llm_host)), checks it, and returns the plan for the whole fleet, whatever the limit of the run is.
  - Runs on the controller and reaches no host. A mistake is reported with file, line, what was got, what was expected and
    what to do, before anything is touched.
options:
  build_directory:
    description: Where this inventory's files are made. The default is C(build/<inventory>) below the current folder.
    type: path
  show:
    description: Print the plan as a table.
    type: bool
    default: false
requirements:
  - pydantic >= 2.10 on the controller
extends_documentation_fragment: [homelab.llm.reads_only]
notes:
  - Write the plan to a file with M(ansible.builtin.copy); that shows its difference.
"""

EXAMPLES = r"""
- name: Plan the fleet
  homelab.llm.plan:
  register: llm_planned
  run_once: true
"""

RETURN = r"""
plan:
  description: The plan; its shape is C(plugins/schemas/plan.schema.json).
  returned: success
  type: dict
build_directory:
  description: Absolute path of the folder for what is made from this inventory.
  returned: success
  type: str
"""
