"""LiteLLM's own Router takes the configuration of any fleet, and goes the way that the plan counts with."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from plugins.plugin_utils.intent import parse_fleet
from plugins.plugin_utils.plan import make_plan
from plugins.plugin_utils.routing import litellm_config
from plugins.plugin_utils.routing_ids import deployment_id
from plugins.plugin_utils.routing_plan import Routing
from tests.rules.environments import PINNED, Unavailable, python_of
from tests.unit.random_fleets import SEEDS, random_intent

SCRIPT = Path(__file__).with_name("ways.py")
# Every name of each of these is asked; the others are only built.
ASKED = [seed for seed in SEEDS if seed % 5 == 0]
LIMIT_S = 600.0


@pytest.fixture(scope="module")
def plans() -> dict[int, dict[str, Any]]:
    return {seed: make_plan(parse_fleet(random_intent(seed)), "random") for seed in SEEDS}


@pytest.fixture(scope="module")
def judged(plans: dict[int, dict[str, Any]]) -> dict[int, Any]:
    """What the Router made of each: one process for all, because importing LiteLLM takes seconds."""
    try:
        python = python_of(PINNED)
    except Unavailable as reason:
        pytest.skip(str(reason))
    wanted = [{"config": litellm_config(plan), "ask": names(plan) if seed in ASKED else []} for seed, plan in plans.items()]
    command = [str(python), str(SCRIPT)]
    done = subprocess.run(command, input=json.dumps(wanted), capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(zip(plans, json.loads(done.stdout), strict=True))


def names(plan: dict[str, Any]) -> list[str]:
    """What a client can ask for."""
    return [*plan["aliases"], *plan["router"]["smart"]]


def test_the_real_router_takes_them_all_and_drops_nothing(plans: dict[int, dict[str, Any]], judged: dict[int, Any]) -> None:
    """The proxy drops a deployment that its router does not take, with no more than a line in the log."""
    wanted = {seed: len(litellm_config(plan)["model_list"]) for seed, plan in plans.items()}
    assert {seed: found["models"] for seed, found in judged.items()} == wanted


def test_a_request_goes_the_way_that_the_plan_counts_with(judged: dict[int, Any]) -> None:
    """With every engine down: each deployment once, in this order, and none that the plan does not know of."""
    asked = {(seed, name): both[0] for seed in ASKED for name, both in judged[seed]["asked"].items()}
    assert len(asked) > 100
    assert any(len(ids) > 6 for ids in asked.values())
    assert asked == {(seed, name): ways(seed)[name] for seed, name in asked}


def test_a_request_that_fails_everywhere_takes_no_name_away(plans: dict[int, dict[str, Any]], judged: dict[int, Any]) -> None:
    """The next one is sent to those who are never left alone, and each name has one. LiteLLM notes a failure on the side, so
    that the next request may still find one of the others.
    """
    again = {(seed, name): both[1] for seed in ASKED for name, both in judged[seed]["asked"].items()}
    at_once = {seed: never_left_alone(plans[seed]) for seed in ASKED}
    for (seed, name), asked in again.items():
        wanted = at_once[seed].intersection(ways(seed)[name])
        assert wanted, (seed, name)
        assert wanted <= set(asked), (seed, name)
    assert sum(map(len, again.values())) < sum(len(both[0]) for seed in ASKED for both in judged[seed]["asked"].values())


def never_left_alone(plan: dict[str, Any]) -> set[str]:
    entries = litellm_config(plan)["model_list"]
    return {entry["model_info"]["id"] for entry in entries if entry["litellm_params"].get("cooldown_time") == 0}


def ways(seed: int) -> dict[str, list[str]]:
    fleet = parse_fleet(random_intent(seed))
    routing = Routing(fleet)
    made: dict[str, list[str]] = {}
    for name, walks in routing.walks.items():
        items = [(attempt.alias, fleet.assignments[attempt.alias][attempt.order - 1]) for attempt in walks[0]]
        made[name] = [deployment_id(f"{item.host}--{item.model}", alias) for alias, item in items]
    return made
