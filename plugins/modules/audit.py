#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action homelab.llm.audit; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: audit
author:
  - homelab.llm maintainers (@homelab-llm)
version_added: 0.1.0
short_description: Find what is wrong in a LiteLLM configuration
description:
  - Holds any C(config.yaml) of a LiteLLM proxy against every rule that is known for the release that runs it, and says for each
    finding where it is, what was got and expected, why it matters, how to mend it and for which releases it holds.
  - Works out which aliases survive which hosts being down, after how many attempts and how many seconds at most.
  - Neither LiteLLM nor an inventory is needed. With an inventory of this collection it also says whether the models that the
    configuration sends to each host fit in its memory at once.
  - Prints the findings by severity, and writes C(audit.json) and C(audit.sarif). It does not fail for them, but says in
    RV(reached) whether one reaches the threshold; C(playbooks/audit.yml) fails then.
options:
  config:
    description: The configuration, on the controller.
    type: path
    required: true
  litellm_version:
    description: The release that runs it. The default is what the image of O(stack) says, else what our role installs.
    type: str
  stack:
    description: The compose or stack file in which the proxy runs. Its image, time to stop and environment are audited too.
    type: path
  environment_file:
    description: A file of C(NAME=value) lines with the whole environment of the proxy. Only the names are read.
    type: path
  threshold:
    description: The severity from which on RV(reached) is true.
    type: str
    choices: [error, warning, advice, none]
    default: error
  fix:
    description: Show the mends that need no decision as a diff, or write them into the file. Comments and style are kept.
    type: str
    choices: [none, diff, write]
    default: none
  build_directory:
    description: Where C(audit.json) and C(audit.sarif) go. The default is C(build), with an inventory C(build/<inventory>).
    type: path
attributes:
  check_mode:
    description: Looks and prints, and writes no file.
    support: full
  diff_mode:
    description: The mends are shown with O(fix=diff).
    support: none
"""

EXAMPLES = r"""
- name: Audit a configuration
  homelab.llm.audit:
    config: litellm/config.yaml
    litellm_version: 1.106.2
    threshold: warning
"""

RETURN = r"""
findings:
  description: What is wrong, by severity and line.
  returned: always
  type: list
  elements: dict
  contains:
    rule: {description: Name of the rule., type: str}
    severity: {description: One of error and warning and advice., type: str}
    path: {description: Where in the file., type: str}
    line: {description: The line., type: int}
    got: {description: What is there., type: str}
    expected: {description: What should be there., type: str}
    why: {description: Why it matters., type: str}
    mend: {description: How to mend it., type: str}
    versions: {description: The releases of LiteLLM that it holds for., type: str}
survival:
  description: For each set of up to two hosts that are down and each name, whether it is served, by what, after how much.
  returned: always
  type: list
  elements: dict
reached:
  description: Whether a finding is as bad as O(threshold), or worse.
  returned: always
  type: bool
summary:
  description: How many findings of each severity there are.
  returned: always
  type: str
litellm_version:
  description: The release that it was held against.
  returned: always
  type: str
litellm_version_reason:
  description: Why it was held against that release; it was named, it is that of the stack's image, or nobody named one.
  returned: always
  type: str
build_directory:
  description: Where the files went.
  returned: always
  type: str
mended:
  description: The findings whose mend needs no decision.
  returned: with O(fix)
  type: list
  elements: dict
mend_diff:
  description: Their mends as a unified diff.
  returned: with O(fix)
  type: str
"""
