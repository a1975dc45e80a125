"""An inventory without templates, read from its files: for tests that need no Ansible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plugins.plugin_utils.fleet import Fleet
from plugins.plugin_utils.intent import VARIABLES, Intent, parse_fleet
from plugins.plugin_utils.plan import make_plan
from tests import yaml_text

ROOT = Path(__file__).parents[2]


def fleet_of(folder: str) -> Fleet:
    """The checked fleet of an inventory's folder, such as ``inventory/homelab``."""
    root = ROOT / folder
    variables: dict[str, Any] = {}
    for path in sorted((root / "group_vars" / "all").glob("*.yml")):
        variables |= yaml_text.read(path.read_text(encoding="utf-8")) or {}
    groups = yaml_text.read((root / "hosts.yml").read_text(encoding="utf-8"))["all"]["children"]
    engines, routers = groups["engines"]["hosts"], groups["router"]["hosts"]
    addresses = {name: str(said.get("ansible_host", name)) for name, said in engines.items()}
    hosts = {name: said["llm_host"] for name, said in engines.items()}
    known = {name: variables.get(name) for name in VARIABLES}
    return parse_fleet(Intent(known, hosts, addresses=addresses, router_hosts=tuple(routers)))


def plan_of(folder: str) -> dict[str, Any]:
    """The plan that ``playbooks/plan.yml`` makes of it."""
    return make_plan(fleet_of(folder), Path(folder).name)
