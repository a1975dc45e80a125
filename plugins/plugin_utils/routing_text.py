"""LiteLLM's configuration as the file that is written: the same plan always gives the same text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Writes what two entries share twice: LiteLLM up to 1.98 mixes up deployments that share an anchor."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def config_text(config: Mapping[str, Any], inventory: str) -> str:
    """The file's text. Its header names the inventory and the content, not the plan's own hash: what does not change the routing
    changes no byte of it.
    """
    made_from = " ".join(inventory.split())
    header = f"# Made by homelab.llm from the inventory {made_from}: change that, not this file.\n# Content: "
    body = yaml.dump(dict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000, default_flow_style=False)
    return f"{header}{config_hash(config)}\n{body}"


def config_hash(config: Mapping[str, Any]) -> str:
    """``sha256:…`` of what LiteLLM is told."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
