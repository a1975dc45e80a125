"""How the role `ollama` has a model from another host or a registry: whom it asks, where, and which failure ends the play."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.role_expressions import evaluated, holds, load

LOOK, FETCH = load("ollama/tasks/model_fetch.yml")[:2]
SHARE, GET = FETCH["block"]
OWN = {name: load("ollama/vars/main.yml")[name] for name in ("ollama_registry", "ollama_copied")}
VARIABLES = {**OWN, **FETCH["vars"], "inventory_hostname": "pear", "ollama_copy_models": True, "ansible_check_mode": False}
HUB, LAN = "gemma4:26b", "lan:5000/team/small:x"


@pytest.mark.parametrize(
    ("name", "mirror", "insecure", "expected"),
    [
        (HUB, "", [], False),
        (LAN, "", ["lan:5000"], True),
        (LAN, "", ["mirror.lan:80"], False),
        (HUB, "mirror.lan:80", ["mirror.lan:80"], True),
        # The mirror is asked, and not the model's own registry.
        (LAN, "mirror.lan", ["lan:5000"], False),
    ],
)
def test_plain_http_is_for_the_one_that_is_asked(name: str, mirror: str, insecure: list[str], expected: bool) -> None:
    model = {"source": {"name": name}}
    given = {"ollama_model": model, "ollama_registry_mirror": mirror, "ollama_insecure_registries": insecure}
    assert evaluated(LOOK["homelab.llm.ollama_model"]["insecure"], VARIABLES, **given) is expected


DIGEST = {"digest": "aa"}


@pytest.mark.parametrize(
    ("copy_from", "looked", "check_mode", "expected"),
    [
        ("star", {"changed": True, **DIGEST}, False, True),
        ("star", {"changed": False, **DIGEST}, False, False),
        # The look failed, such as without a way to the registry.
        ("star", {"changed": False, "msg": "cannot be had"}, False, True),
        ("star", {"changed": True, **DIGEST}, True, False),
        (None, {"changed": False, "skipped": True}, False, False),
    ],
)
def test_the_other_host_is_asked_where_something_is_missing(
    copy_from: str | None, looked: dict[str, Any], check_mode: bool, expected: bool
) -> None:
    given = {"ollama_model": {"copy_from": copy_from}, "ollama_looked": looked, "ansible_check_mode": check_mode}
    assert holds("ollama_sharing", VARIABLES, **given) is expected


@pytest.mark.parametrize(
    ("giver", "expected"),
    [
        ({"ollama_store": "/a", "ollama_models_directory": "/b", "ollama_fleet_address": "10.0.0.7"}, ("/a", "10.0.0.7")),
        # Outside of the run's limit: what the inventory says.
        ({"ollama_models_directory": "/b", "ansible_host": "10.0.0.8"}, ("/b", "10.0.0.8")),
        ({"ollama_address": "10.0.0.9", "ansible_host": "star.lan"}, ("/own", "10.0.0.9")),
        ({}, ("/own", "star")),
        (None, ("/own", "star")),
    ],
)
def test_where_the_other_host_has_it(giver: dict[str, str] | None, expected: tuple[str, str]) -> None:
    hosts = {} if giver is None else {"star": giver}
    given = {"ollama_model": {"copy_from": "star"}, "hostvars": hosts, "ollama_models_directory": "/own"}
    asked = SHARE["homelab.llm.ollama_share"]
    assert tuple(evaluated(asked[option], VARIABLES, **given) for option in ("models_directory", "address")) == expected


def test_a_host_that_is_not_reached_ends_nothing() -> None:
    assert (SHARE["failed_when"], SHARE["ignore_unreachable"], LOOK["failed_when"]) == (False, True, False)


AWAY = {"failed": True, "changed": False, "msg": "gemma4:26b: is not installed, and its files cannot be had: refused"}
FULL = {"failed": True, "changed": False, "msg": "gemma4:26b: no room"}


@pytest.mark.parametrize(
    ("copy_from", "made", "check_mode", "failed"),
    [
        ("star", AWAY, True, False),
        ("star", AWAY, False, True),
        (None, AWAY, True, True),
        ("star", FULL, True, True),
        ("star", {"failed": False, "changed": True}, False, False),
    ],
)
def test_a_registry_that_is_away_fails_no_check_of_a_copy(
    copy_from: str | None, made: dict[str, Any], check_mode: bool, failed: bool
) -> None:
    given = {"ollama_model": {"copy_from": copy_from}, "ollama_made": made, "ansible_check_mode": check_mode}
    assert holds(GET["failed_when"], VARIABLES, **given) is failed
