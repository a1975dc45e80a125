#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: watchdog_program
short_description: Install the program that keeps an Ollama's models loaded
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Puts the residency watchdog on a host, as a Python package that needs nothing but Python. It is the same thinking as that
    of M(homelab.llm.ollama_residency), so both have to be of one version.
  - Started with C(python3 -m homelab_llm.residency_watchdog --configuration FILE), with O(directory) in C(PYTHONPATH).
options:
  directory:
    description: Where the package homelab_llm goes. It is made if it is not there.
    type: path
    required: true
attributes:
  check_mode:
    description: Compares and writes nothing.
    support: full
  diff_mode:
    description: Shows the digests of the program before and after.
    support: full
  idempotent:
    description: Goes by the files' texts.
    support: full
"""

EXAMPLES = r"""
- name: Install the watchdog
  homelab.llm.watchdog_program:
    directory: /opt/homelab-llm/ollama/watchdog
"""

RETURN = r"""
digest:
  description: sha256 of the package, which changes with the program.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.watchdog_program import install


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(argument_spec={"directory": {"type": "path", "required": True}}, supports_check_mode=True)
    try:
        result = install(module.params["directory"], module.check_mode)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['directory']}: {error.strerror}; expected a place to write to")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
