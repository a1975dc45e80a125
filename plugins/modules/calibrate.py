#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action homelab.llm.calibrate; the comparing is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: calibrate
author:
  - homelab.llm maintainers (@homelab-llm)
version_added: 0.2.0
short_description: Set the memory that loaded models have taken beside the plan
description:
  - Looks at what C(playbooks/calibrate.yml) registered on the hosts of the play, namely what M(homelab.llm.memory_info) returned
    for each resident model (C(llama_cpp_memory), C(ollama_memory), C(llm_memory)), and compares it with the plan, part by part.
  - Prints it as a table and warns of models that took what was not planned. It fails for none, and writes nothing.
options:
  plan:
    description: The plan as made by M(homelab.llm.plan).
    type: dict
    required: true
  build_directory:
    description:
      - Folder of the plan. What C(calibration/HOST.json) there says of a model with the same settings is kept where there is
        no new measurement, since a log may not reach back to the load any more.
    type: path
    required: true
attributes:
  check_mode:
    description: Changes nothing, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: Compare
  homelab.llm.calibrate:
    plan: "{{ llm_plan }}"
    build_directory: "{{ llm_build_directory }}"
  run_once: true
"""

RETURN = r"""
calibrations:
  description: For each host of which something is known, what C(calibration/HOST.json) is to hold (C(host), C(path), C(content)).
  returned: always
  type: list
  elements: dict
findings:
  description: Parts that took more than was predicted, or less than an exact prediction, by more than 2 % and more than 8 MiB.
  returned: always
  type: list
  elements: str
"""
