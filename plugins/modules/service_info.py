#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_info
short_description: Identity and state of services under systemd, launchd or a supervisord of the user
version_added: 0.1.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Reads the state, the process and the listening ports of services. Nothing is changed.
  - Instances of a template unit are found by their drop-ins.
  - Jobs of launchd are found by their property lists. That of the service C(homelab-llm-NAME) is C(llm.homelab.NAME.plist), that
    of a service with any other name C(llm.homelab-other.NAME.plist).
  - The identity of a process is its id together with its start. Two receipts with the same identity come from the same process.
options:
  manager:
    description: Who runs the services.
    type: str
    choices: [systemd, launchd, supervisord]
    required: true
  pattern:
    description: Shell pattern that a service's name matches; for systemd without C(.service).
    type: str
    default: "*"
  directory:
    description: Directory of the supervisord. Required with O(manager=supervisord).
    type: path
extends_documentation_fragment: [homelab.llm.reads_only]
"""

EXAMPLES = r"""
- name: See which engines run
  homelab.llm.service_info:
    manager: supervisord
    directory: /home/me/services
    pattern: "llama-*"
"""

RETURN = r"""
services:
  description: The services that match, by name; empty when there are none.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The service.
      type: str
    state:
      description:
        - The manager's word in lower case, such as V(running), V(stopped), V(fatal), V(active), V(failed). V(stopped) as well for
          a job that launchd has not loaded.
        - V(orphaned) for a program that outlived its supervisord.
      type: str
    pid:
      description: Process id; null when no process runs.
      type: int
    identity:
      description: Identity of the process, which no other process ever has; null when no process runs.
      type: str
    started_at:
      description: When the process was started (ISO 8601, UTC); null when no process runs.
      type: str
    ports:
      description: TCP ports that the process listens on; empty when none or where they cannot be told.
      type: list
      elements: int
    log:
      description: File that the service writes its log to; null where the journal has it.
      type: str
"""

import fnmatch
import glob
import os
import plistlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import launchd, process_identity, supervised, supervisor, systemd
from ..module_utils import supervisor_config as config


def systemd_services(module: AnsibleModule, pattern: str) -> list[dict[str, Any]]:
    """The units that systemd has loaded or finds on disk under names that match."""
    systemctl = module.get_bin_path("systemctl", required=True)
    _code, listed, _error = module.run_command([systemctl, "list-unit-files", "--no-legend", "--plain", pattern + ".service"])
    drop_ins = glob.glob(os.path.join(systemd.FOLDER, "*" + systemd.DROP_IN))
    names = systemd.real_units(systemd.unit_names(listed), drop_ins, pattern)
    if not names:
        return []
    command = [systemctl, "show", "--property", ",".join(systemd.PROPERTIES), "--", *names]
    _code, shown, _error = module.run_command(command, check_rc=True)
    return [supervised.service(unit.name, unit.state, process_identity.find(unit.pid)) for unit in systemd.parse_show(shown)]


def launchd_services(module: AnsibleModule, pattern: str) -> list[dict[str, Any]]:
    """The jobs that have a property list of ours under names that match."""
    launchctl, found = module.get_bin_path("launchctl", required=True), []
    for path in sorted(glob.glob(os.path.join(launchd.FOLDER, "*.plist"))):
        label = os.path.basename(path)[: -len(".plist")]
        name = launchd.name_of(label)
        if name is None or not fnmatch.fnmatchcase(name, pattern):
            continue
        code, said, _error = module.run_command([launchctl, "print", launchd.target(label)])
        job = launchd.parse_print(said) if code == 0 else launchd.Job("stopped", None, None)
        service = supervised.service(name, job.state, process_identity.find(job.pid))
        found.append({**service, "log": log_of(path)})
    return found


def log_of(path: str) -> str | None:
    """The file that a property list sends the output to; None when it does not say so."""
    try:
        with open(path, "rb") as file:
            told = plistlib.load(file)
    except (OSError, ValueError, plistlib.InvalidFileException):
        return None
    return told.get("StandardOutPath")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "manager": {"type": "str", "choices": ["systemd", "launchd", "supervisord"], "required": True},
            "pattern": {"type": "str", "default": "*"},
            "directory": {"type": "path"},
        },
        required_if=[("manager", "supervisord", ["directory"])],
        supports_check_mode=True,
    )
    pattern = module.params["pattern"]
    if module.params["manager"] == "systemd":
        module.exit_json(changed=False, services=systemd_services(module, pattern))
    if module.params["manager"] == "launchd":
        module.exit_json(changed=False, services=launchd_services(module, pattern))
    try:
        found = supervised.services(config.layout(module.params["directory"], os.geteuid()))
    except supervisor.SupervisorFailure as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, services=[item for item in found if fnmatch.fnmatchcase(item["name"], pattern)])


if __name__ == "__main__":
    main()
