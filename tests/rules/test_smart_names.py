"""The real proxy with a smart name, probes, metrics and JSON logs, rendered as for production; its backends record."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from plugins.plugin_utils.routing import litellm_config
from tests.proxy.recorder import Recorder, recorder
from tests.proxy.router import Backend, Proxy, Reply, litellm_proxy, plan_of
from tests.rules.environments import PINNED, Unavailable, python_of

TIERS = {"SIMPLE": "quick", "MEDIUM": "quick", "COMPLEX": "deep", "REASONING": "deep"}
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PROBES_WITHIN_S = 60.0


@dataclass(frozen=True)
class House:
    proxy: Proxy
    backends: dict[str, Recorder]
    ends: dict[str, ExitStack]

    def ask(self, name: str, content: Any) -> Reply:
        for backend in self.backends.values():
            backend.requests.clear()
        return self.proxy.post(
            "/v1/chat/completions", {"model": name, "messages": [{"role": "user", "content": content}], "max_tokens": 77}
        )

    def asked(self) -> list[str]:
        """Who was asked with the client's own limit; probes have another."""
        return [host for host, backend in self.backends.items() for _path, body in backend.requests if body["max_tokens"] == 77]


def rendered(backends: dict[str, Recorder]) -> dict[str, Any]:
    """Two aliases on two hosts, of which the deep one takes images. Both are llama.cpp's, and so their models are probed."""
    aliases = {alias: [Backend(alias, backends[alias].url, f"{alias}-model")] for alias in ("quick", "deep")}
    rules = [{"keywords": ["prove"], "tier": "REASONING"}]
    smart = {"auto": {"tiers": TIERS, "keyword_rules": rules}}
    plan = plan_of(aliases, smart=smart, health={"interval_s": 10}, prometheus=True, json_logs=True)
    for alias, takes in (("quick", False), ("deep", True)):
        plan["aliases"][alias]["deployments"][0]["images"] = takes
    plan["router"]["smart"]["auto"]["modality_routing"] = True
    return litellm_config(plan)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    try:
        python_of(PINNED)
    except Unavailable as reason:
        pytest.skip(str(reason))
    with ExitStack() as stack:
        ends = {host: stack.enter_context(ExitStack()) for host in ("quick", "deep")}
        backends = {host: end.enter_context(recorder()) for host, end in ends.items()}
        folder = tmp_path_factory.mktemp("smart")
        yield House(stack.enter_context(litellm_proxy(rendered(backends), folder, {"LITELLM_LOG": "INFO"})), backends, ends)


def test_an_easy_message_goes_to_the_alias_of_its_tier_with_the_clients_own_limit(house: House) -> None:
    reply = house.ask("auto", "hello")
    assert (reply.status, reply.headers["x-litellm-model-id"]) == (200, "quick--quick-quick-model--quick")
    assert house.asked() == ["quick"]


def test_a_word_of_a_rule_decides_the_tier(house: House) -> None:
    assert house.ask("auto", "prove that hello").status == 200
    assert house.asked() == ["deep"]


def test_an_image_goes_to_a_model_that_takes_it(house: House) -> None:
    parts = [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    assert house.ask("auto", parts).status == 200
    assert house.asked() == ["deep"]


def test_a_word_of_litellms_own_does_not_move_anybody_up(house: House) -> None:
    assert house.ask("auto", "LITELLM ESCALATE hello").status == 200
    assert house.asked() == ["quick"]


def test_probes_take_one_token(house: House) -> None:
    for backend in house.backends.values():
        backend.requests.clear()
    until = time.monotonic() + PROBES_WITHIN_S
    while not all(backend.requests for backend in house.backends.values()) and time.monotonic() < until:
        time.sleep(0.5)
    limits = {host: {body["max_tokens"] for _path, body in backend.requests} for host, backend in house.backends.items()}
    assert limits == {"quick": {1}, "deep": {1}}


def test_metrics_are_for_those_who_have_the_key(house: House) -> None:
    found = {}
    for name, headers in (("without", {}), ("with", {"Authorization": f"Bearer {house.proxy.key}"})):
        connection = house.proxy.connect(30.0)
        connection.request("GET", "/metrics/", headers=headers)
        answer = connection.getresponse()
        found[name] = answer.status, b"# TYPE litellm_" in answer.read()
        connection.close()
    assert found == {"without": (401, False), "with": (200, True)}


def test_the_log_can_be_read_line_by_line(house: House) -> None:
    """What it says of a request without a key; how much else it says is not ours."""
    connection = house.proxy.connect(30.0)
    connection.request("GET", "/v1/models")
    assert connection.getresponse().status >= 400
    connection.close()
    lines = [line for line in house.proxy.log.read_text(encoding="utf-8").splitlines() if "user_api_key_auth" in line]
    assert [line for line in lines if "message" in json.loads(line)]


def test_when_a_tier_is_down_another_one_answers(house: House) -> None:
    """The last test here: the backend does not come back."""
    house.ends["quick"].close()
    for _request in range(3):
        assert house.ask("auto", "hello").status == 200
        assert house.asked() == ["deep"]
