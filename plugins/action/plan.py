"""Door to the planner: collects the inventory's intent from all hosts and returns the plan. Touches nothing."""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

try:
    from ..plugin_utils.calibration_store import read_all
    from ..plugin_utils.calibration_table import beside, calibration_table
    from ..plugin_utils.fit import anywhere
    from ..plugin_utils.intent import parse_fleet
    from ..plugin_utils.inventory import InventoryReader, inventory_name
    from ..plugin_utils.plan import make_plan
    from ..plugin_utils.plan_table import plan_table
    from ..plugin_utils.problems import IntentError

    MISSING_LIBRARY: ImportError | None = None
except ImportError as error:
    MISSING_LIBRARY = error

try:
    # Where a value was written. Not a public interface of ansible-core: without it messages lack file and line.
    from ansible._internal._datatag._tags import Origin
except ImportError:
    Origin = None


ARGUMENTS = {"show": {"type": "bool", "default": False}, "build_directory": {"type": "path"}}


class ActionModule(ActionBase):
    """``homelab.llm.plan``: documented in plugins/modules/plan.py."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Returns ``plan`` and ``build_directory``; fails with every mistake in the intent."""
        result = super().run(tmp, task_vars)
        if MISSING_LIBRARY is not None:
            raise AnsibleActionFail(
                f"the controller's Python lacks a library ({MISSING_LIBRARY}); run: python3 -m pip install 'pydantic>=2.10'"
            )
        _checked, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        if not os.path.isabs(arguments["build_directory"] or os.sep):
            raise AnsibleActionFail(f"llm_build_directory: got {arguments['build_directory']!r}; expected an absolute path")
        variables = task_vars or {}
        inventory = inventory_name(variables.get("ansible_inventory_sources") or [])
        reader = InventoryReader(variables, written_at if Origin else None)
        try:
            plan = make_plan(parse_fleet(reader.intent()), inventory, find=anywhere)
        except IntentError as error:
            count = len(error.problems)
            heading = f"{count} mistake{'s' if count > 1 else ''} in the inventory; nothing was touched:"
            raise AnsibleActionFail(f"{heading}\n{error.report(reader.locate)}") from None
        build = arguments["build_directory"] or os.path.join(os.getcwd(), "build", inventory)
        if arguments["show"]:
            measured = calibration_table(beside(plan, read_all(build, plan["hosts"])))
            Display().display(
                "\n".join(["", plan_table(plan), *(["", "measured after loading", measured] if measured else []), ""])
            )
        return {**result, "changed": False, "plan": plan, "build_directory": build}


def written_at(value: Any) -> str | None:
    """``file:line`` of a value of the inventory."""
    origin = Origin.get_tag(value) if value is not None else None
    if origin is None or not origin.path:
        return None
    return f"{os.path.relpath(origin.path)}:{origin.line_num}" if origin.line_num else os.path.relpath(origin.path)
