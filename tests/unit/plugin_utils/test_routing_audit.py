"""Our own audit finds nothing to mend in what we render."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plugins.plugin_utils.audit.check import check
from plugins.plugin_utils.audit.config import Config
from plugins.plugin_utils.audit.names import Names
from plugins.plugin_utils.audit.walk import Walker
from plugins.plugin_utils.intent import parse_fleet
from plugins.plugin_utils.litellm_release import parse_release
from plugins.plugin_utils.plan import make_plan
from plugins.plugin_utils.routing import litellm_config
from plugins.plugin_utils.routing_ids import deployment_id
from plugins.plugin_utils.routing_walk import Attempt
from tests import yaml_text
from tests.unit.inventories import plan_of
from tests.unit.random_fleets import SEEDS, random_intent, random_plan, random_routing

RELEASE = "1.106.2"


def wrong(plan: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Errors and warnings; advice is about the fleet, not about the file.

    The text is not the one that is deployed, which takes three times as long to write and says the same (test_routing).
    """
    findings = check(yaml_text.written(litellm_config(plan)).encode(), RELEASE)
    return [(item["rule"], item["path"], item["got"]) for item in findings if item["severity"] != "advice"]


def test_the_audit_has_nothing_against_the_example_to_edit() -> None:
    assert wrong(plan_of("inventory/homelab")) == []


def test_the_audit_has_nothing_against_any_fleet() -> None:
    plans = {seed: random_plan(seed) for seed in SEEDS}
    assert {seed: found for seed, plan in plans.items() if (found := wrong(plan))} == {}


def test_the_audit_walks_each_name_as_the_plan_does() -> None:
    """The plan walks before there is a file, one release; the audit walks any file, as any release. Here they meet."""
    release = parse_release(RELEASE)
    for seed in SEEDS[::4]:
        plan, routing = random_plan(seed), random_routing(seed)
        config = Config(litellm_config(plan))
        walker = Walker(config, Names(config, release), release)
        everyone = frozenset(item.host for item in config.deployments)
        for name, walks in routing.walks.items():
            way = walker.walk(name, everyone)
            assert (way.deployment, way.unreached) == (None, [])
            # Of a smart name the audit follows the tier that takes longest.
            ids = [[deployment_id(at(plan, attempt)["id"], attempt.alias) for attempt in attempts] for attempts in walks]
            assert [item.info["id"] for item in way.asked] in ids, (seed, name)
            assert way.attempts == max(map(len, ids))


def at(plan: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    deployment: dict[str, Any] = plan["aliases"][attempt.alias]["deployments"][attempt.order - 1]
    return deployment


def test_the_audit_sees_what_a_person_chose_against_our_advice() -> None:
    """It is not blind to our files: retries in front of a chain are what it warns of."""
    plan = next(plan for plan in map(retrying, SEEDS) if any(map(falls_back_alone, plan["aliases"].values())))
    assert {rule for rule, _path, _got in wrong(plan)} == {"retries-before-fallback"}


def falls_back_alone(entry: dict[str, Any]) -> bool:
    return len(entry["deployments"]) == 1 and bool(entry["fallbacks"])


def retrying(seed: int) -> dict[str, Any]:
    made = random_intent(seed)
    router = {**made.variables["llm_router"], "num_retries": 2}
    fleet = parse_fleet(replace(made, variables={**made.variables, "llm_router": router}))
    return make_plan(fleet, "random")
