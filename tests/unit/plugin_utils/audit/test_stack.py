"""Rules that need more than the file: the stack it runs in, its environment, the inventory's hosts, and the release itself."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from plugins.plugin_utils.audit.check import AuditError, audit
from plugins.plugin_utils.audit.finding import FleetView

from .router_configs import changed, text

SERVICE: dict[str, Any] = {
    "image": "ghcr.io/berriai/litellm:v1.106.2@sha256:" + "a" * 64,
    "stop_grace_period": "90s",
    "environment": {"GRACEFUL_SHUTDOWN_TIMEOUT": "70", "LITELLM_MASTER_KEY": "${KEY}"},
}
PROBING = (
    ("general_settings/background_health_checks", True),
    ("general_settings/enable_health_check_routing", True),
)
TEXTUAL = ("general_settings/background_health_checks", "true")
LISTED = ["GRACEFUL_SHUTDOWN_TIMEOUT=70"]
UNTIMED = (("model_list/0/litellm_params/timeout", ...),)
KEYLESS = (("general_settings", {}),)
KEYED = [*LISTED, "LITELLM_MASTER_KEY=${KEY}", "DATABASE_URL=postgresql://db"]
SHARED = ("general_settings/use_shared_health_check", True)
ROUTERS = ("router_settings/redis_host", "redis")
# A name that only a database can know.
STORED = (
    ("router_settings/model_group_alias", {"voice": "stored"}),
    ("general_settings/database_url", "os.environ/DATABASE_URL"),
)

# What is changed in the service, what in the configuration, and the rules that fire.
CASES: list[tuple[str, dict[str, Any], tuple[tuple[str, Any], ...], set[str]]] = [
    ("right", {}, (), set()),
    ("no-tag", {"image": "ghcr.io/berriai/litellm"}, (), {"image-floating"}),
    ("latest", {"image": "ghcr.io/berriai/litellm:latest"}, (), {"image-floating"}),
    ("main-stable", {"image": "ghcr.io/berriai/litellm:main-stable"}, (), {"image-floating"}),
    ("main-latest", {"image": "registry:5000/litellm:main-latest"}, (), {"image-floating"}),
    ("registry-port-no-tag", {"image": "registry:5000/litellm"}, (), {"image-floating"}),
    ("release", {"image": "ghcr.io/berriai/litellm:v1.106.2"}, (), set()),
    ("digest", {"image": "ghcr.io/berriai/litellm@sha256:" + "b" * 64}, (), set()),
    ("variable", {"image": "ghcr.io/berriai/litellm:${LITELLM_TAG}"}, (), set()),
    ("variable-or-latest", {"image": "ghcr.io/berriai/litellm:${LITELLM_TAG:-main-latest}"}, (), {"image-floating"}),
    ("variable-or-release", {"image": "ghcr.io/berriai/litellm:${LITELLM_TAG:-v1.106.2}"}, (), set()),
    ("nightly-of-a-release", {"image": "ghcr.io/berriai/litellm:main-v1.106.2-nightly"}, (), set()),
    ("own-image", {"image": "me/our-litellm:latest"}, (), {"image-floating"}),
    ("endless-grace", {"stop_grace_period": int("1" * 400)}, (), set()),
    ("time-in-the-environment", {"environment": ["REQUEST_TIMEOUT=30", *LISTED, "LITELLM_MASTER_KEY=x"]}, UNTIMED, set()),
    ("published-key", {"environment": [*LISTED, "LITELLM_MASTER_KEY=sk-1234"]}, (), {"stack-key-published"}),
    ("no-key-wanted", {"environment": [*LISTED, "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY=True"]}, KEYLESS, set()),
    ("models-stored", {"environment": [*KEYED, "STORE_MODEL_IN_DB=True"]}, STORED, set()),
    ("models-perhaps-stored", {"environment": [*KEYED, "STORE_MODEL_IN_DB=${S}"]}, STORED, set()),
    ("no-models-stored", {"environment": [*KEYED, "STORE_MODEL_IN_DB=no"]}, STORED, {"alias-dangling"}),
    ("workers-that-probe-by-text", {"command": "--num_workers 4"}, (*PROBING, TEXTUAL), {"health-unshared"}),
    ("no-grace", {"stop_grace_period": None}, (), {"stop-grace-short"}),
    ("grace-as-long-as-the-drain", {"stop_grace_period": "70s"}, (), {"stop-grace-short"}),
    ("grace-in-minutes", {"stop_grace_period": "1m30s"}, (), set()),
    ("grace-unreadable", {"stop_grace_period": "${GRACE}"}, (), set()),
    ("slow-answers", {}, (("model_list/0/litellm_params/timeout", 600),), {"stop-grace-short"}),
    ("replicas-that-probe", {"deploy": {"replicas": 3}}, PROBING, {"health-unshared"}),
    ("workers-that-probe", {"command": "--config /c.yaml --num_workers 4"}, PROBING, {"health-unshared"}),
    ("workers-in-a-list", {"command": ["--num_workers=4"]}, PROBING, {"health-unshared"}),
    ("one-that-probes", {}, PROBING, set()),
    ("shared-checks-without-redis", {"deploy": {"replicas": 3}}, (*PROBING, SHARED), {"health-unshared"}),
    ("shared-checks-with-the-router-s-redis", {"deploy": {"replicas": 3}}, (*PROBING, SHARED, ROUTERS), {"health-unshared"}),
    (
        "shared-checks-by-variables",
        {"deploy": {"replicas": 3}, "environment": [*KEYED, "REDIS_HOST=redis"]},
        (*PROBING, SHARED),
        set(),
    ),
    (
        "shared-checks",
        {"deploy": {"replicas": 3}},
        (
            *PROBING,
            ("general_settings/use_shared_health_check", True),
            ("general_settings/coordination_redis", {"host": "redis"}),
        ),
        set(),
    ),
    ("key-in-the-stack", {}, KEYLESS, set()),
    ("key-in-a-list", {"environment": ["LITELLM_MASTER_KEY", "GRACEFUL_SHUTDOWN_TIMEOUT=70"]}, KEYLESS, set()),
    ("key-nowhere", {"environment": {"GRACEFUL_SHUTDOWN_TIMEOUT": 70}}, KEYLESS, {"master-key-missing"}),
    ("variable-missing", {"environment": {"GRACEFUL_SHUTDOWN_TIMEOUT": 70}}, (), {"environment-missing"}),
    ("variables-in-a-file", {"env_file": "x.env", "environment": {"GRACEFUL_SHUTDOWN_TIMEOUT": 70}}, (), set()),
]


def fired(service: dict[str, Any], config: dict[str, Any], **more: Any) -> set[str]:
    stack = yaml.safe_dump({"services": {"router": {**SERVICE, **service}, "redis": {"image": "redis"}}}).encode()
    found = audit(text(config), "1.106.2", stack=stack, **more).findings
    return {item.rule for item in found if item.severity != "advice"}


@pytest.mark.parametrize(("service", "changes", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_stack(service: dict[str, Any], changes: tuple[tuple[str, Any], ...], expected: set[str]) -> None:
    assert fired(service, changed(*changes)) == expected


def test_the_release_is_the_image_s() -> None:
    stack = b"services: {router: {image: 'ghcr.io/berriai/litellm:v1.82.6-stable'}}"
    found = audit(text(changed()), None, stack=stack)
    assert str(found.subject.release) == "1.82.6"
    assert {item.file for item in found.findings if item.rule == "stop-grace-short"} == {"stack"}


HELD = [
    ("named", "1.98.1", b"services: {router: {image: 'litellm:v1.82.6'}}", "LiteLLM 1.98.1 (named)"),
    ("image", None, b"services: {router: {image: 'litellm:v1.98.1'}}", "LiteLLM 1.98.1 (by the image in the stack file)"),
    (
        "digest-alone",
        None,
        b"services: {router: {image: 'litellm@sha256:00'}}",
        "LiteLLM 1.106.2 (nobody named one: this is the one that our role installs)",
    ),
    (
        "older-than-all",
        "1.81.0",
        None,
        "LiteLLM 1.81.0 (named; the names of settings are those of 1.82.6, the oldest that was asked)",
    ),
]


@pytest.mark.parametrize(("release", "stack", "expected"), [case[1:] for case in HELD], ids=[case[0] for case in HELD])
def test_which_release_and_why(release: str | None, stack: bytes | None, expected: str) -> None:
    assert audit(text(changed()), release, stack=stack).held_against == expected


@pytest.mark.parametrize("release", [1.11, 1, True])
def test_a_number_is_no_release(release: Any) -> None:
    with pytest.raises(AuditError, match="a number; expected text"):
        audit(text(changed()), release)


def test_what_else_runs_beside_litellm() -> None:
    """An exporter is no proxy, whatever its name says."""
    stack = (
        b"services: {router: {image: 'litellm:v1.106.2', stop_grace_period: 2m}, metrics: {image: 'me/litellm-exporter:latest'}}"
    )
    assert set(audit(text(changed()), stack=stack).subject.stack.services) == {"router"}  # type: ignore[union-attr]


@pytest.mark.parametrize("manager", ["key_management_system", "use_google_kms"])
def test_a_manager_of_secrets_is_asked_first(manager: str) -> None:
    """What is no variable may be a secret there."""
    found = audit(text(changed((f"general_settings/{manager}", "hashicorp_vault"))), "1.106.2", ("PATH",)).findings
    assert "environment-missing" not in {item.rule for item in found}


@pytest.mark.parametrize(
    ("environment", "hedged"), [((), True), (("PATH", "LITELLM_MASTER_KEY"), False)], ids=["unknown", "said"]
)
def test_a_key_may_stand_in_an_environment_that_nobody_told(environment: tuple[str, ...], hedged: bool) -> None:
    found = audit(text(changed(("model_list/0/litellm_params/api_key", ...))), "1.106.2", environment).findings
    assert [(item.rule, "was not said" in item.got) for item in found] == [("openai-api-key-missing", hedged)]


def test_a_stack_without_litellm() -> None:
    with pytest.raises(AuditError, match="no service with an image of LiteLLM"):
        audit(text(changed()), stack=b"services: {web: {image: nginx}}")


GIVEN = [
    ("not-said", (), set()),
    ("with-it", ("LITELLM_MASTER_KEY",), set()),
    ("without-it", ("PATH",), {"environment-missing"}),
]


@pytest.mark.parametrize(("environment", "expected"), [case[1:] for case in GIVEN], ids=[case[0] for case in GIVEN])
def test_environment(environment: tuple[str, ...], expected: set[str]) -> None:
    found = audit(text(changed()), "1.106.2", environment).findings
    assert {item.rule for item in found} == expected


def test_the_file_s_own_environment() -> None:
    own = ("environment_variables", {"LITELLM_MASTER_KEY": "x"})
    # What the file's own section sets is set too late for what the file reads.
    assert [item.rule for item in audit(text(changed(own)), "1.106.2", ("PATH",)).findings] == ["environment-too-late"]
    assert [item.rule for item in audit(text(changed(own)), "1.106.2", ("LITELLM_MASTER_KEY",)).findings] == []
    assert "openai-api-key-missing" not in {
        item.rule
        for item in audit(
            text(changed(("environment_variables", {"OPENAI_API_KEY": "x"}), ("model_list/0/litellm_params/api_key", ...))),
            "1.106.2",
        ).findings
    }


FLEET = FleetView(
    hosts={"banana": "banana", "clementine": "clementine", "star": "star"},
    resident={"banana": frozenset({"fast", "embedding"}), "star": frozenset({"slow"}), "clementine": frozenset()},
    refusals=((("model_list", 2), "87 GB on star", "84 GB", "Take one out."),),
)


def test_fleet() -> None:
    found = audit(text(changed(*PROBING)), "1.106.2", fleet=FLEET).findings
    assert {(item.rule, item.path) for item in found} == {
        ("memory-overcommitted", "model_list[2]"),
        ("health-not-resident", "model_list[1].model_info"),
        ("health-not-resident", "model_list[5].model_info"),
        ("host-not-in-inventory", "model_list[3].litellm_params.api_base"),
    }


def test_without_probes_nothing_is_said_of_residents() -> None:
    assert "health-not-resident" not in {item.rule for item in audit(text(changed()), "1.106.2", fleet=FLEET).findings}
