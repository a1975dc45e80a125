#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action homelab.llm.benchmark; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: benchmark
author:
  - homelab.llm maintainers (@homelab-llm)
version_added: 0.1.0
short_description: Measure every deployment of a plan, warm and one request at a time per machine
description:
  - Sends each workload's prompts to each of its deployments, straight to the engine, and measures the streamed answer at
    the socket.
  - Machines are measured side by side, everything on one machine strictly one after another. A lock per machine makes two
    runs of one user on one controller take turns.
  - A case is warmed up before it is measured. The engine's own word on what is loaded is taken before and after each sample
    and decides, with the count of cached prompt tokens, on the sample's verdict. Only samples with the verdict C(warm) enter
    the statistics; all are kept.
  - Each sample is on disk as soon as it is measured. An engine that goes away costs its own samples; the run goes on and
    ends as failed.
  - Runs on the controller. Needs pydantic and jinja2 there, nothing on the hosts.
options:
  plan:
    description: The plan, as M(homelab.llm.plan) returns it.
    type: dict
    required: true
  build_directory:
    description: Folder of this inventory's results; C(samples) and C(report) are made in it.
    type: path
    required: true
  runs:
    description: Samples per case, 1 to 1000. Default is the plan's own number.
    type: raw
  host:
    description: Measure these hosts only, as a list or separated by commas.
    type: raw
  workload:
    description: Measure these workloads only, as a list or separated by commas.
    type: raw
  limit:
    description: Hosts that C(--limit) left to the play; names without an engine are ignored. Without it all are measured.
    type: list
    elements: str
  list:
    description: Show the cases and measure nothing.
    type: bool
    default: false
  max_tokens:
    description: Overrides every chat workload's own limit.
    type: raw
  seed:
    description: Seed of the nonces that begin the prompts. Drawn for each run when not given; recorded in each sample.
    type: raw
requirements:
  - pydantic >= 2.10 (controller)
  - jinja2 >= 3.1 (controller)
attributes:
  check_mode:
    description: Shows the cases, measures nothing and writes nothing.
    support: full
  diff_mode:
    description: Nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Measure the coding deployments of one host three times
  homelab.llm.benchmark:
    plan: "{{ llm_plan }}"
    build_directory: "{{ llm_build_directory }}"
    host: star
    workload: coding
    runs: 3
  run_once: true
  delegate_to: localhost

- name: Show what would be measured
  homelab.llm.benchmark:
    plan: "{{ llm_plan }}"
    build_directory: "{{ llm_build_directory }}"
    list: true
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
cases:
  description: Ids of the selected cases.
  returned: success
  type: list
  elements: str
run:
  description: The run's UTC timestamp, the name of its files.
  returned: when measured
  type: str
seed:
  description: Seed of the nonces.
  returned: when measured
  type: int
samples_path:
  description: The raw samples, one JSON object per line.
  returned: when measured
  type: str
summary_path:
  description: The run's summary as JSON.
  returned: when measured
  type: str
report_path:
  description: The report's page.
  returned: when measured
  type: str
verdicts:
  description: How many samples got which verdict.
  returned: when measured
  type: dict
lost:
  description: One sentence per case that lost samples, with host, model and reason.
  returned: when measured
  type: list
  elements: str
incidents:
  description: Engines that were started again or went away during the run.
  returned: when measured
  type: list
  elements: str
"""
