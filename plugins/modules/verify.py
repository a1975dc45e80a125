#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action homelab.llm.verify; the judging is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify
author:
  - homelab.llm maintainers (@homelab-llm)
version_added: 0.1.0
short_description: Judge whether engines and aliases do what the plan says
description:
  - Looks at what C(playbooks/verify.yml) registered on the hosts, namely the receipts of the engines taken before and after the
    aliases were asked (C(llm_receipts_before), C(llm_receipts_after)), the settings of the running Ollamas
    (C(ollama_asked)), what their watchdogs wrote (C(llm_watchdog)) and the answers of the router (C(litellm_answers)).
  - An Ollama that is managed must have every planned model loaded, with its context, for ever, and in GPU memory where that is
    planned, and must run with the settings of the plan. What neither its log nor its process tells of them is warned about.
  - Prints what each engine keeps, then the answers, as tables, and fails with one sentence per finding.
options:
  plan:
    description: The plan as made by M(homelab.llm.plan).
    type: dict
    required: true
  without:
    description: Judge a drill in which this host was stopped, so that its aliases have to be answered by others.
    type: str
  host:
    description: Judge the engines of this host only, and no alias. The default is every host of the play and every alias.
    type: str
attributes:
  check_mode:
    description: Says that nothing was asked.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
"""

EXAMPLES = r"""
- name: Judge
  homelab.llm.verify:
    plan: "{{ llm_plan }}"
  run_once: true
"""

RETURN = r"""
findings:
  description: What is wrong, one sentence each; empty, since the action fails otherwise.
  returned: success
  type: list
  elements: str
answers:
  description: The answers of the router.
  returned: success
  type: list
  elements: dict
"""
