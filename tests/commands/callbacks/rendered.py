"""Keeps what every task would write, decide or refuse, by host: RENDERED_FILE gets it as JSON when the playbook ends."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: rendered
type: aggregate
short_description: What a playbook in check mode would write
description: For tests of this collection only.
"""


class CallbackModule(CallbackBase):
    """For each host: written (name of template or file, and content, in order), facts (name to value), refusal."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "rendered"

    def __init__(self, *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        self.hosts: dict[str, dict[str, Any]] = defaultdict(lambda: {"written": [], "facts": {}, "refusal": None})

    def v2_runner_on_ok(self, result: Any) -> None:
        self._keep(self.hosts[result.host.get_name()], result.result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self.hosts[result.host.get_name()]["refusal"] = result.result.get("msg")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        Path(os.environ["RENDERED_FILE"]).write_text(json.dumps(self.hosts, default=str), encoding="utf-8")

    def _keep(self, host: dict[str, Any], result: Any) -> None:
        for item in result.get("results") or [result]:
            diffs = item.get("diff") or []
            for diff in diffs if isinstance(diffs, list) else [diffs]:
                if diff.get("after_header"):
                    host["written"].append([Path(diff["after_header"]).name, diff.get("after")])
            host["facts"].update(item.get("ansible_facts") or {})
