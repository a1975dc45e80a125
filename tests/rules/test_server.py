"""Rules that need the whole server: who may start it, who may call what, and what its health checks change."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.rules.environments import RELEASES
from tests.rules.hosts import BROKEN, UP
from tests.rules.releases import MASTER_KEY, Release, Server
from tests.rules.rows import config, openai, since
from tests.rules.test_rules import rules_of

LIMIT_S = 40.0
CLIENT_KEY = "sk-client-7d41e6"
# A client of its own that may call fast and nothing else.
CUSTOM_AUTH = f"""
from litellm.proxy._types import ProxyException, UserAPIKeyAuth

async def user_api_key_auth(request, api_key):
    if api_key != {CLIENT_KEY!r}:
        raise ProxyException(message="bad key", type="auth_error", param=None, code=401)
    return UserAPIKeyAuth(api_key=api_key, key_alias="client", models=["fast"])
"""
TWO = [openai("fast", "a"), openai("slow", "b")]
COMMON, AFTER = {"custom_auth_run_common_checks": True}, {"enable_post_custom_auth_checks": True}


def audited(text: str, version: str, rule: str) -> bool:
    return rule in rules_of(text, version)


@pytest.mark.parametrize(
    ("key", "general", "rule", "refusing"),
    [
        pytest.param(None, {}, "master-key-missing", since("1.106.2"), id="missing"),
        pytest.param(None, {"dangerously_permit_weak_or_unset_master_key": True}, "master-key-missing", (), id="permitted"),
        pytest.param(None, {"master_key": MASTER_KEY}, "master-key-missing", (), id="in-the-file"),
        pytest.param(None, {"master_key": "sk-1234"}, "master-key-published", since("1.106.2"), id="published"),
    ],
)
def test_a_server_without_a_key_of_its_own(
    release: Release, key: str | None, general: dict[str, Any], rule: str, refusing: tuple[str, ...]
) -> None:
    text = config(TWO, general=general)
    with release.server(text, {"a": UP, "b": UP}, {}, key) as server:
        assert server.up == (release.version not in refusing), server.log.read_text(errors="replace")[-1500:]
    # A key that everybody has is wrong wherever it is used, also where the server takes it.
    assert audited(text, release.version, rule) == (release.version in refusing or general.get("master_key") == "sk-1234")


@pytest.mark.parametrize(
    ("general", "litellm", "kept"),
    [
        pytest.param({}, {}, False, id="neither"),
        pytest.param(COMMON, {}, False, id="common-checks-alone"),
        pytest.param({}, AFTER, False, id="after-checks-alone"),
        pytest.param(COMMON, AFTER, True, id="both"),
    ],
)
def test_the_models_of_a_client_s_key(release: Release, general: dict[str, Any], litellm: dict[str, Any], kept: bool) -> None:
    text = config(TWO, general={"custom_auth": "clients.user_api_key_auth", **general}, litellm=litellm)
    with release.server(text, {"a": UP, "b": UP}, {"clients.py": CUSTOM_AUTH}, MASTER_KEY) as server:
        assert server.up, server.log.read_text(errors="replace")[-1500:]
        assert (server.chat("fast", CLIENT_KEY), server.chat("fast", "sk-wrong")) == (200, 401)
        answered = server.chat("slow", CLIENT_KEY)
        assert (answered == 200) != (kept and release.version in CHECKS_AFTER), answered
    assert audited(text, release.version, "custom-auth-unchecked") != (kept and release.version in CHECKS_AFTER)


# The releases that know enable_post_custom_auth_checks.
CHECKS_AFTER = RELEASES[1:]


def requests_for(server: Server, host: str) -> int:
    """Requests of clients, not of health checks: those ask with other words."""
    asked = [body for path, body in server.hosts[host].asked]
    return sum(body["messages"][-1]["content"] == "Say hello." for body in asked)


def probed(server: Server, times: int) -> bool:
    """Wait until each host has been checked that often."""
    ends = time.monotonic() + LIMIT_S
    while time.monotonic() < ends:
        if all(len(host.asked) - requests_for(server, name) >= times for name, host in server.hosts.items()):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    ("general", "rule", "spared"),
    [
        pytest.param({}, "health-without-routing", False, id="checks-alone"),
        pytest.param({"enable_health_check_routing": True}, "health-without-routing", True, id="routing"),
    ],
)
def test_a_broken_host_that_is_checked(release: Release, general: dict[str, Any], rule: str, spared: bool) -> None:
    """Host a answers 500 and has order 1: only with the switch for routing is it left alone."""
    entries = [openai("g", "a", order=1), openai("g", "b", order=2)]
    checks = {"background_health_checks": True, "health_check_interval": 1, **general}
    router = {"disable_cooldowns": True, "num_retries": 0}
    text = config(entries, general=checks, router=router)
    knows = release.version in since("1.83.14")
    with release.server(text, {"a": BROKEN, "b": UP}, {}, MASTER_KEY) as server:
        # The second round begins when the first one's verdicts are in.
        assert server.up
        assert probed(server, 2), {name: host.asked for name, host in server.hosts.items()}
        codes = [server.chat("g", MASTER_KEY) for turn in range(5)]
        if knows:
            assert codes == [200] * 5
            assert requests_for(server, "a") == (0 if spared else 5)
    assert audited(text, release.version, rule) == (knows and not spared)
