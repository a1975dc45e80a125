"""Door to plugin_utils.audit: reads a LiteLLM configuration, prints what is wrong, writes audit.json and audit.sarif."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..plugin_utils.audit.check import Audit, AuditError, audit
from ..plugin_utils.audit.config import Config
from ..plugin_utils.audit.files import encoded, environment_names, relative, write_whole
from ..plugin_utils.audit.finding import SEVERITIES, FleetView
from ..plugin_utils.audit.fixed import fixed
from ..plugin_utils.audit.mend import mend_diff
from ..plugin_utils.audit.said import said, summary
from ..plugin_utils.audit.sarif import sarif
from ..plugin_utils.yaml_document import YamlError, read_yaml

try:
    from ..plugin_utils.audit_fleet import fleet_view
    from ..plugin_utils.intent import parse_fleet
    from ..plugin_utils.inventory import InventoryReader, inventory_name
    from ..plugin_utils.problems import IntentError

    MISSING_LIBRARY: ImportError | None = None
except ImportError as error:
    MISSING_LIBRARY = error

ARGUMENTS = {
    "config": {"type": "path", "required": True},
    "litellm_version": {"type": "str"},
    "stack": {"type": "path"},
    "environment_file": {"type": "path"},
    "threshold": {"type": "str", "choices": [*SEVERITIES, "none"], "default": "error"},
    "fix": {"type": "str", "choices": ["none", "diff", "write"], "default": "none"},
    "build_directory": {"type": "path"},
}


class ActionModule(ActionBase):
    """``homelab.llm.audit``: documented in plugins/modules/audit.py."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Returns ``findings``, ``survival``, where the files are, and whether a finding reaches the threshold."""
        result = super().run(tmp, task_vars)
        refuse_number(self._task.args.get("litellm_version"))
        _checked, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        content = read(arguments["config"], "config")
        # A configuration beside an inventory of the user's is held against the memory of its hosts too.
        reader = inventory(task_vars or {})
        try:
            fleet = fleet_of(reader, content) if reader else None
            found = audit(
                content, arguments["litellm_version"], names_in(arguments["environment_file"]), stack_of(arguments), fleet
            )
        except (AuditError, YamlError) as error:
            raise AnsibleActionFail(f"{arguments['config']}: {error}") from None
        build = arguments["build_directory"] or build_directory(task_vars or {}, bool(reader))
        Display().display("\n".join(["", *said(found, arguments["config"], arguments["stack"]), ""]))
        result |= {
            "config": arguments["config"],
            "litellm_version": str(found.release),
            "litellm_version_reason": found.reason,
            "findings": [item.plain() for item in found.findings],
            "survival": [row.plain() for row in found.survival],
        }
        result |= self._written(build, found, arguments)
        result |= self._mended(content, found, arguments, result["changed"])
        return {**result, "summary": summary(found), "reached": found.reaches(arguments["threshold"])}

    def _written(self, build: str, found: Audit, arguments: dict[str, Any]) -> dict[str, Any]:
        """Write audit.json and audit.sarif where they differ; says whether they did, or would in check mode."""
        listed = [item.plain() for item in found.findings]
        stack = relative(arguments["stack"]) if arguments["stack"] else None
        files = {
            "audit.json": listed,
            "audit.sarif": sarif(found.findings, relative(arguments["config"]), stack, found.held_against),
        }
        changed = False
        for name, content in files.items():
            path = os.path.join(build, name)
            text = (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
            if not os.path.isfile(path) or read(path, name) != text:
                changed = True
                if not self._task.check_mode:
                    write(path, text)
        return {"changed": changed, "build_directory": build}

    def _mended(self, content: bytes, found: Audit, arguments: dict[str, Any], changed: bool) -> dict[str, Any]:
        """The mends that need no decision, as a diff or in the file itself."""
        if arguments["fix"] == "none":
            return {}
        try:
            text, done = fixed(content, found)
        except YamlError as error:
            raise AnsibleActionFail(f"{arguments['config']}: {error}") from None
        name = os.path.basename(arguments["config"])
        difference = mend_diff(content, text, name)
        Display().display(difference or "Nothing can be mended without a decision.")
        writes = arguments["fix"] == "write" and bool(done)
        if writes and not self._task.check_mode:
            write(arguments["config"], encoded(text, content))
        return {"mended": [item.plain() for item in done], "mend_diff": difference, "changed": changed or writes}


def refuse_number(version: object) -> None:
    """YAML reads 1.110 as the number 1.11, and that would become text; fails in words."""
    if isinstance(version, (int, float)):
        raise AnsibleActionFail(
            f"litellm_version: got the number {version}; expected text, for a number has lost its last zeros. "
            "Write all of it in quotes: '1.106.2'."
        )


def read(path: str, what: str) -> bytes:
    """A file's content; fails in words."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise AnsibleActionFail(f"{what}: {path} cannot be read: {error.strerror}; expected the path of a file") from None


def write(path: str, content: bytes) -> None:
    """Replace a file whole; fails in words."""
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        write_whole(Path(path), content)
    except OSError as error:
        raise AnsibleActionFail(f"{path} cannot be written: {error.strerror}; expected a place that can be written to") from None


def names_in(path: str | None) -> list[str]:
    """The names of an environment file."""
    return environment_names(read(path, "environment_file")) if path else []


def stack_of(arguments: dict[str, Any]) -> bytes | None:
    """The stack file's content where one was named."""
    return read(arguments["stack"], "stack") if arguments["stack"] else None


def inventory(variables: dict[str, Any]) -> Any:
    """A reader of the inventory, None where there is none of ours."""
    groups = variables.get("groups") or {}
    # Another inventory may have a group engines of its own.
    if not groups.get("engines") or not groups.get("router"):
        return None
    if MISSING_LIBRARY is not None:
        raise AnsibleActionFail(
            f"the controller's Python lacks a library ({MISSING_LIBRARY}), needed because an inventory is given; "
            "run: python3 -m pip install 'pydantic>=2.10', or leave the inventory out"
        )
    return InventoryReader(variables)


def fleet_of(reader: Any, content: bytes) -> FleetView:
    """What the inventory says about the configuration's hosts."""
    intent = reader.intent()
    try:
        return fleet_view(parse_fleet(intent), Config(read_yaml(content).data), intent.addresses)
    except IntentError as error:
        heading = "the inventory has mistakes of its own; mend them, or leave it out"
        raise AnsibleActionFail(f"{heading}:\n{error.report(reader.locate)}") from None


def build_directory(variables: dict[str, Any], with_inventory: bool) -> str:
    """build/ where the playbook was started, one folder per inventory."""
    build = os.path.join(os.getcwd(), "build")
    return os.path.join(build, inventory_name(variables.get("ansible_inventory_sources") or [])) if with_inventory else build
