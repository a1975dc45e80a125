#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: supervised_process
short_description: A program under a supervisord of the user
version_added: 0.1.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Describes a program to the supervisord of a directory, starts that supervisord when it is not running,
    and brings the program to a state.
  - The first program starts supervisord, the removal of the last one shuts it down.
  - Nothing outside O(directory) is touched, except that a socket whose path would be too long lies in a directory of its own,
    mode 0700, in C(/tmp), as long as there are programs.
  - supervisord is recognized by its socket and by the identity of its process, never by an id alone.
  - Programs that outlived a killed supervisord are ended before its successor starts (Linux).
  - Configuration and logs are readable by the user alone. Logs are rotated by supervisord.
options:
  name:
    description: Name of the program. Letters, digits, dot, dash and underscore.
    type: str
    required: true
  directory:
    description: Absolute path of the directory that this supervisord keeps its configuration, socket, record and logs in.
    type: path
    required: true
  supervisord:
    description: Path of the C(supervisord) program. Required unless O(state=absent).
    type: path
  command:
    description: The program and its arguments. Required unless O(state=absent).
    type: list
    elements: str
  working_directory:
    description: Directory that the program starts in. The default is O(directory).
    type: path
  environment:
    description: Variables of the program that are no secrets.
    type: dict
    default: {}
  environment_file:
    description:
      - File of lines C(NAME=value) that a shell reads when the program starts.
      - For secrets, which then stand nowhere else.
    type: path
    default: ""
  revision:
    description: Any text that stands for what the program runs on (its files, its configuration). Another text starts it again.
    type: str
    default: ""
  hangup:
    description:
      - Whether a program that runs and is not started again anyway gets SIGHUP, by which it starts anew what it serves.
    type: bool
    default: false
    version_added: 0.2.0
  start_timeout_s:
    description: Seconds until the program must run.
    type: int
    default: 60
  stop_timeout_s:
    description:
      - Seconds that the program may take to end before it is killed.
      - One that was described with more has that time for its last end.
    type: int
    default: 30
  state:
    description:
      - V(started) starts the program when it does not run, and starts it again when its description or O(revision) has changed.
      - V(restarted) always starts it again. V(stopped) keeps it described, V(absent) forgets it.
    type: str
    choices: [started, restarted, stopped, absent]
    default: started
attributes:
  check_mode:
    support: full
    description: Predicts the change without touching the host, also where nothing exists yet.
  diff_mode:
    support: full
    description: Shows the description and the state of the program before and after.
  idempotent:
    support: partial
    description: All states but V(restarted), and all but O(hangup).
"""

EXAMPLES = r"""
- name: Keep a web server going
  homelab.llm.supervised_process:
    name: files
    directory: /home/me/services
    supervisord: /home/me/services/environment/bin/supervisord
    command: [/usr/bin/python3, -m, http.server, "8099", --bind, 127.0.0.1]

- name: Stop and forget it; supervisord ends with its last program
  homelab.llm.supervised_process:
    name: files
    directory: /home/me/services
    state: absent
"""

RETURN = r"""
name:
  description: The program.
  returned: always
  type: str
state:
  description: What supervisord calls its state, in lower case; V(absent) when it is not described.
  returned: always
  type: str
pid:
  description: Its process id; null when it does not run.
  returned: always
  type: int
identity:
  description: Identity of its process, which no other process ever has; null when it does not run.
  returned: always
  type: str
started_at:
  description: When its process was started (ISO 8601, UTC); null when it does not run.
  returned: always
  type: str
log:
  description: Path of its log.
  returned: always
  type: str
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import supervised, supervisor
from ..module_utils import supervisor_config as config


def wanted_program(params: dict[str, Any]) -> config.Program:
    """The program as the parameters describe it."""
    return config.Program(
        name=params["name"],
        command=params["command"] or [],
        working_directory=params["working_directory"] or params["directory"],
        environment={name: str(value) for name, value in params["environment"].items()},
        environment_file=params["environment_file"],
        revision=params["revision"],
        stop_timeout_s=params["stop_timeout_s"],
        autostart=params["state"] != "stopped",
    )


def difference(header: str, there: supervised.Observed, decision: supervised.Decision, state: str, text: str) -> dict[str, str]:
    """Description and state before and after; nothing when nothing changes."""
    if not decision.changed:
        return {"before": "", "after": ""}
    before = there.program_text + f"; state: {(there.state or 'absent').lower()}\n"
    reached = "running" if state in ("started", "restarted") else state
    reloaded = ", told to reload" if decision.hang_up else ""
    after = ("" if state == "absent" else text) + f"; state: {reached}{reloaded}\n"
    return {"before_header": header, "after_header": header, "before": before, "after": after}


def run(module: AnsibleModule) -> dict[str, Any]:
    """Observe, decide, act, report."""
    params = module.params
    place = config.layout(params["directory"], os.geteuid())
    program, state = wanted_program(params), params["state"]
    text = "" if state == "absent" else config.program_text(program, place)
    there = supervised.observe(place, program.name)
    daemon_text = "" if state == "absent" else config.daemon_text(place, os.geteuid() == 0)
    decision = supervised.decide(state, daemon_text, text, there, params["hangup"])
    if decision.changed and not module.check_mode:
        supervised.act(decision, place, program, params["supervisord"], params["start_timeout_s"])
    elif state == "started" and not module.check_mode:
        supervisor.wait_until_running(place, program.name, params["start_timeout_s"])
    found = next((item for item in supervised.services(place) if item["name"] == program.name), None)
    found = found or supervised.service(program.name, "absent", None)
    return {
        **found,
        "changed": decision.changed,
        "log": place.program_log(program.name),
        "diff": difference(place.program_file(program.name), there, decision, state, text),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "directory": {"type": "path", "required": True},
            "supervisord": {"type": "path"},
            "command": {"type": "list", "elements": "str"},
            "working_directory": {"type": "path"},
            "environment": {"type": "dict", "default": {}},
            "environment_file": {"type": "path", "default": ""},
            "revision": {"type": "str", "default": ""},
            "hangup": {"type": "bool", "default": False},
            "start_timeout_s": {"type": "int", "default": 60},
            "stop_timeout_s": {"type": "int", "default": 30},
            "state": {"type": "str", "choices": ["started", "restarted", "stopped", "absent"], "default": "started"},
        },
        required_if=[("state", state, ["supervisord", "command"]) for state in ("started", "restarted", "stopped")],
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except (config.ConfigurationError, supervisor.SupervisorFailure) as error:
        module.fail_json(msg=str(error), name=module.params["name"])
    except OSError as error:
        place = module.params["directory"]
        module.fail_json(msg=f"program {module.params['name']} in {place}: {error}", name=module.params["name"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
