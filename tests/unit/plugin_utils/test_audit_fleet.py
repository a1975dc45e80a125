"""A configuration held against an inventory: hosts by any of their names, models by any of theirs, and what does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.plugin_utils.audit.check import audit
from plugins.plugin_utils.audit.config import Config
from plugins.plugin_utils.audit_fleet import fleet_view
from plugins.plugin_utils.intent import parse_fleet
from tests.unit.fleets import intent

from .audit.router_configs import deployment, text


def seen(entries: list[dict[str, Any]], general: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    """Rule and what was got, of the rules that need an inventory."""
    config = {"model_list": entries, "general_settings": {"master_key": "os.environ/KEY", **(general or {})}}
    asked = intent()
    fleet = fleet_view(parse_fleet(asked), Config(config), asked.addresses)
    rules = ("memory-overcommitted", "host-not-in-inventory", "model-not-in-inventory", "health-not-resident")
    return [(item.rule, item.got) for item in audit(text(config), fleet=fleet).findings if item.rule in rules]


BIG = "big:30b"


@pytest.mark.parametrize(
    ("entries", "general", "found"),
    [
        ([deployment("a", "gpus", BIG), deployment("v", "gpus", "vectors", "embedding")], {}, []),
        ([deployment("a", "GPUS", "Big:30b")], {}, []),
        ([deployment("a", "gpus.lan", "big")], {}, []),
        ([deployment("a", "elsewhere", BIG)], {}, [("host-not-in-inventory", "elsewhere")]),
        ([deployment("a", "gpus", "other")], {}, [("model-not-in-inventory", "other on gpus")]),
        ([deployment("a", "mini", BIG)], {}, [("memory-overcommitted", None)]),
        (
            [deployment("a", "gpus", BIG)],
            {"background_health_checks": True, "enable_health_check_routing": True},
            [],
        ),
        (
            [deployment("a", "gpus", "small")],
            {"background_health_checks": True, "enable_health_check_routing": True},
            [("health-not-resident", "checks of small on gpus")],
        ),
    ],
    ids=["fits", "letters", "address", "host", "model", "memory", "resident", "not-resident"],
)
def test_a_configuration_on_the_hosts_of_an_inventory(entries, general, found):
    assert [(rule, got if (rule, got) in found else None) for rule, got in seen(entries, general)] == found
