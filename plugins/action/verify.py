"""Door to plugin_utils.verification: judges what the playbook collected from hosts and router, prints it, fails with findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..plugin_utils.plain import plain
from ..plugin_utils.verification import alias_findings, answer_table, drill_findings, engine_findings

ARGUMENTS = {"plan": {"type": "dict", "required": True}, "without": {"type": "str"}, "host": {"type": "str"}}


class ActionModule(ActionBase):
    """``homelab.llm.verify``: documented in plugins/modules/verify.py."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Returns ``findings`` and ``answers``; fails where there is a finding."""
        result = super().run(tmp, task_vars)
        _checked, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        plan, variables = arguments["plan"], task_vars or {}
        if self._task.check_mode:
            return {**result, "changed": False, "skipped": True, "msg": "check mode: no engine and no alias is asked"}
        hostvars = variables["hostvars"]
        answers = [] if arguments["host"] else collected(hostvars, plan["router"]["host"], "litellm_answers", "answer")
        findings = drill_findings(plan, arguments["without"], answers) if arguments["without"] else []
        if not arguments["without"]:
            judged = [arguments["host"]] if arguments["host"] else variables["ansible_play_hosts_all"]
            played = [host for host in judged if host in plan["hosts"]]
            findings = [text for host in played for text in host_findings(plan, hostvars, host)]
            findings += alias_findings(plan, answers) if answers else []
        if answers:
            Display().display(f"\n{answer_table(answers)}\n")
        if findings:
            raise AnsibleActionFail("\n".join([f"{len(findings)} finding(s):", *findings]))
        return {**result, "changed": False, "findings": findings, "answers": answers}


def host_findings(plan: Mapping[str, Any], hostvars: Any, host: str) -> list[str]:
    """Findings of one host from the two rounds of receipts."""
    rounds = [
        {receipt["asked_for"]: receipt for receipt in collected(hostvars, host, name, "receipt")}
        for name in ("llm_receipts_before", "llm_receipts_after")
    ]
    return engine_findings(plan, host, *rounds)


def collected(hostvars: Any, host: str, name: str, key: str) -> list[dict[str, Any]]:
    """What a looped task of the playbook registered on ``host``, as plain data; empty where it did not run."""
    registered = plain(hostvars[host].get(name)) or {}
    found = []
    for entry in registered.get("results", ()):
        value = entry.get(key)
        if isinstance(value, dict):
            item = entry.get("item")
            found.append({**value, "asked_for": item.get("model") if isinstance(item, dict) else item})
    return found
