"""Door to plugin_utils.calibrated: sets what the hosts told of their loaded models beside the plan, and prints it."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

try:
    from ..plugin_utils.calibrated import calibrated
    from ..plugin_utils.calibration_store import path_of, read, rendered
    from ..plugin_utils.calibration_table import calibration_table, findings
    from ..plugin_utils.plain import plain

    MISSING_LIBRARY: ImportError | None = None
except ImportError as error:
    MISSING_LIBRARY = error

ARGUMENTS = {"plan": {"type": "dict", "required": True}, "build_directory": {"type": "path", "required": True}}
# What playbooks/calibrate.yml registers on a host: of engines that this collection runs, and of others.
REGISTERED = ("llama_cpp_memory", "ollama_memory", "llm_memory")


class ActionModule(ActionBase):
    """``homelab.llm.calibrate``: documented in plugins/modules/calibrate.py."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Returns ``calibrations``, for each host its file's path and content, and ``findings``."""
        result = super().run(tmp, task_vars)
        if MISSING_LIBRARY is not None:
            raise AnsibleActionFail(
                f"the controller's Python lacks a library ({MISSING_LIBRARY}); run: python3 -m pip install 'pydantic>=2.10'"
            )
        _checked, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        plan, build, variables = plain(arguments["plan"]), arguments["build_directory"], task_vars or {}
        documents = []
        for host in [name for name in variables["ansible_play_hosts_all"] if name in plan["hosts"]]:
            document = calibrated(plan, host, readings(variables["hostvars"], host), read(build, host))
            documents += [document] if document else []
        if documents:
            Display().display(f"\n{calibration_table(documents)}\n")
        found = findings(documents)
        kept = [
            {"host": item["host"], "path": str(path_of(build, item["host"])), "content": rendered(item)} for item in documents
        ]
        return {**result, "changed": False, "calibrations": kept, "findings": found, **({"warnings": found} if found else {})}


def readings(hostvars: Any, host: str) -> dict[str, dict[str, Any]]:
    """Model -> what `memory_info` said of it on the host; a task that failed or did not run says nothing."""
    found = {}
    for name in REGISTERED:
        for entry in (plain(hostvars[host].get(name)) or {}).get("results", ()):
            if isinstance(entry.get("memory"), dict) and isinstance(entry.get("item"), dict):
                found[entry["item"]["model"]] = entry["memory"]
    return found
