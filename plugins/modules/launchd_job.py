#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: launchd_job
short_description: A job of macOS' launchd in the system's domain
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Brings a job that a property list describes to a state, by C(launchctl) as it is since macOS 10.11.
  - The property list is written and removed by others.
options:
  label:
    description: Label of the job, as its property list has it.
    type: str
    required: true
  plist:
    description: Path of its property list.
    type: path
    required: true
  state:
    description:
      - V(started) has the job loaded now and at every boot, and running unless it is O(periodic).
      - V(stopped) has it neither loaded nor started at boot, V(absent) unknown to launchd.
    type: str
    choices: [started, stopped, absent]
    default: started
  reload:
    description: Whether the property list was written anew, so that a loaded job has to be taken out and in again.
    type: bool
    default: false
  hangup:
    description: Whether a job that runs and is not started again anyway gets SIGHUP, by which it starts anew what it serves.
    type: bool
    default: false
    version_added: 0.2.0
  periodic:
    description: Whether the job runs every so often and is not running in between.
    type: bool
    default: false
  start_timeout_s:
    description: Seconds until the job must run.
    type: int
    default: 60
  stop_timeout_s:
    description: Seconds that the job may take to end.
    type: int
    default: 30
attributes:
  check_mode:
    support: full
    description: Predicts the change without asking launchd for it.
  diff_mode:
    support: full
    description: Shows the job's state before and what is asked of launchctl.
  idempotent:
    support: partial
    description: All but O(reload) and O(hangup).
"""

EXAMPLES = r"""
- name: Keep Ollama going
  homelab.llm.launchd_job:
    label: llm.homelab.ollama
    plist: /Library/LaunchDaemons/llm.homelab.ollama.plist
    reload: "{{ plist is changed }}"
"""

RETURN = r"""
steps:
  description: The subcommands of launchctl that were, or would be, called.
  returned: always
  type: list
  elements: str
state:
  description: What launchd calls the job's state; V(absent) when it does not know it.
  returned: always
  type: str
pid:
  description: The job's process; null when it does not run.
  returned: always
  type: int
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import launchd

# launchd takes a job out after it has answered; until then it cannot be taken in again.
PAUSE_S = 0.5
# What bootout ends with while the job is still ending (36, operation in progress).
UNDER_WAY = 36


class Launchctl:
    """launchctl for one job."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.program = module.get_bin_path("launchctl", required=True)
        self.label, self.plist = module.params["label"], module.params["plist"]

    def run(self, *words: str) -> tuple[int, str]:
        code, said, error = self.module.run_command([self.program, *words])
        return code, said + error

    def job(self) -> launchd.Job | None:
        """The job as launchd knows it; None when it does not."""
        code, said = self.run("print", launchd.target(self.label))
        if code == 0:
            return launchd.parse_print(said)
        if launchd.is_unknown(code, said):
            return None
        self.module.fail_json(msg=f"{self.label}: launchctl print ended with {code}: {said.strip()[-300:]}; expected 0 or 113")
        return None

    def disabled(self) -> bool:
        return launchd.is_disabled(self.run("print-disabled", launchd.DOMAIN)[1], self.label)

    def step(self, name: str) -> None:
        """Carry one step out; a failure ends the module with launchctl's words."""
        patience_s = self.module.params["stop_timeout_s"] + 10
        words = {
            "bootstrap": [launchd.DOMAIN, self.plist],
            "kickstart": ["-k", launchd.target(self.label)],
            "kill": ["SIGHUP", launchd.target(self.label)],
        }.get(name, [launchd.target(self.label)])
        code, said = self.run(name, *words)
        if code and not (name == "bootout" and (code == UNDER_WAY or launchd.is_unknown(code, said))):
            self.module.fail_json(
                msg=f"{self.label}: launchctl {name} ended with {code}: {said.strip()[-300:]}; expected 0. Look at {self.plist}."
            )
        if name == "bootout" and not self.wait(lambda: self.job() is None, patience_s):
            self.module.fail_json(msg=f"{self.label}: got no end of the job within {patience_s} s; end its process and run again")

    def wait(self, condition: Any, limit_s: float) -> bool:
        ends = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > ends:
                return False
            time.sleep(PAUSE_S)
        return True

    def runs(self) -> bool:
        job = self.job()
        return job is not None and job.pid is not None


def bring(module: AnsibleModule) -> dict[str, Any]:
    """Look, decide, act, report."""
    control = Launchctl(module)
    wanted = launchd.Wanted(module.params["state"], module.params["periodic"], module.params["reload"], module.params["hangup"])
    before = control.job()
    steps = launchd.decide(wanted, before, control.disabled())
    if not module.check_mode:
        for name in steps:
            control.step(name)
        limit_s = module.params["start_timeout_s"]
        if wanted.state == "started" and not wanted.periodic and not control.wait(control.runs, limit_s):
            job = control.job() or launchd.Job("unknown", None, None)
            module.fail_json(
                msg=f"{control.label}: got the state {job.state} after {limit_s} s (last exit code {job.last_exit_code}); "
                f"expected a running process. Read the log that {control.plist} names."
            )
    now = before if module.check_mode else control.job()
    told = f"{control.label}: {before.state if before else 'absent'}\n"
    return {
        "changed": bool(steps),
        "steps": steps,
        "state": now.state if now else "absent",
        "pid": now.pid if now else None,
        "diff": {"before": told, "after": f"{control.label}: {', '.join(steps)}\n"} if steps else {"before": "", "after": ""},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "label": {"type": "str", "required": True},
            "plist": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["started", "stopped", "absent"], "default": "started"},
            "reload": {"type": "bool", "default": False},
            "hangup": {"type": "bool", "default": False},
            "periodic": {"type": "bool", "default": False},
            "start_timeout_s": {"type": "int", "default": 60},
            "stop_timeout_s": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    module.exit_json(**bring(module))


if __name__ == "__main__":
    main()
