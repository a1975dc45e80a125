"""`plan.yml` of the inventories that come along: their routing is drawn, and the audit has nothing against what they render."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from plugins.plugin_utils.audit.check import check
from plugins.plugin_utils.routing import litellm_config
from plugins.plugin_utils.routing_text import config_text
from tests.commands.command import ROOT, playbook

DRAWN = ("routing.mmd", "routing.svg")


@pytest.mark.parametrize("inventory", ["embedded", "homelab"])
def test_the_routing_is_drawn_once_and_right(inventory: str, tmp_path: Path) -> None:
    build = tmp_path / "build"
    words = ("-i", f"inventory/{inventory}", "playbooks/plan.yml", "-e", f"llm_build_directory={build}")
    checked = playbook(*words, "--check", "--diff", cwd=ROOT)
    assert checked.code == 0, checked.text
    assert not build.exists()
    first, second = playbook(*words, cwd=ROOT), playbook(*words, cwd=ROOT)
    assert (first.code, second.code) == (0, 0), first.text
    assert "changed=0" in second.text
    plan = yaml.safe_load((build / "plan.yml").read_text(encoding="utf-8"))
    texts = [(build / name).read_text(encoding="utf-8") for name in DRAWN]
    assert all(alias in text for text in texts for alias in plan["aliases"])
    assert ElementTree.fromstring(texts[1]).tag.endswith("svg")
    findings = check(config_text(litellm_config(plan), inventory).encode(), "1.106.2")
    assert [item for item in findings if item["severity"] != "advice"] == []
