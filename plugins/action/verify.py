"""Door to plugin_utils.verification: judges what the playbook collected from hosts and router, prints it, fails with findings."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..plugin_utils.plain import plain
from ..plugin_utils.residency_report import host_settings_findings, residency_table, untold_settings
from ..plugin_utils.verification import alias_findings, answer_table, drill_findings, engine_findings, model_findings

ARGUMENTS = {"plan": {"type": "dict", "required": True}, "without": {"type": "str"}, "host": {"type": "str"}}
ROUNDS = ("llm_receipts_before", "llm_receipts_after")


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
            Display().display(f"\n{fleet_table(plan, hostvars, played)}\n")
            for text in (
                text for host in played for text in untold_settings(host, plan["hosts"][host], settings_of(hostvars, host))
            ):
                Display().warning(text)
        if answers:
            Display().display(f"\n{answer_table(answers)}\n")
        if findings:
            raise AnsibleActionFail("\n".join([f"{len(findings)} finding(s):", *findings]))
        return {**result, "changed": False, "findings": findings, "answers": answers}


def host_findings(plan: Mapping[str, Any], hostvars: Any, host: str) -> list[str]:
    """Findings of one host from the two rounds of receipts and from the settings of its engine."""
    found = engine_findings(plan, host, *receipts_of(hostvars, host))
    return [*found, *(f"{host}: {text}" for text in host_settings_findings(plan["hosts"][host], settings_of(hostvars, host)))]


def settings_of(hostvars: Any, host: str) -> dict[str, Any] | None:
    """With what the Ollama of a host runs, as engine_info has it; None where it does not answer: its log is of the past."""
    receipt = registered(hostvars, host, "ollama_asked").get("receipt") or {}
    found = receipt.get("settings")
    return found if isinstance(found, dict) and not receipt.get("error") else None


def receipts_of(hostvars: Any, host: str) -> list[dict[str, dict[str, Any]]]:
    """The two rounds, model -> receipt."""
    return [{receipt["asked_for"]: receipt for receipt in collected(hostvars, host, name, "receipt")} for name in ROUNDS]


def fleet_table(plan: Mapping[str, Any], hostvars: Any, hosts: Sequence[str]) -> str:
    """The residency receipt of the fleet."""
    rounds = {host: receipts_of(hostvars, host) for host in hosts}
    findings = {
        (host, item["model"]): model_findings(plan, host, item, *rounds[host])
        for host in hosts
        for item in plan["hosts"][host]["resident"]
    }
    latest = {host: {**before, **after} for host, (before, after) in rounds.items()}
    return residency_table(plan, latest, findings, {host: watchdog_of(hostvars, host) for host in hosts})


def watchdog_of(hostvars: Any, host: str) -> dict[str, Any] | None:
    """What the watchdog of a host wrote last, None where it could not be read."""
    try:
        found = json.loads(base64.b64decode(registered(hostvars, host, "llm_watchdog").get("content") or ""))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def registered(hostvars: Any, host: str, name: str) -> dict[str, Any]:
    """What a task registered on a host, as plain data; empty where it did not run."""
    found = plain(hostvars[host].get(name))
    return found if isinstance(found, dict) else {}


def collected(hostvars: Any, host: str, name: str, key: str) -> list[dict[str, Any]]:
    """What a looped task of the playbook registered on ``host``, as plain data; empty where it did not run."""
    found = []
    for entry in registered(hostvars, host, name).get("results", ()):
        value = entry.get(key)
        if isinstance(value, dict):
            item = entry.get("item")
            found.append({**value, "asked_for": item.get("model") if isinstance(item, dict) else item})
    return found
