"""What a client says beside its question concerns nobody else: no deployment is left alone because of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.proxy.router import ROLE, Backend, Proxy, Reply, config_of, litellm_proxy
from tests.rules.environments import Unavailable
from tests.rules.hosts import Is, hosts

ALIAS, CLIENT = "chat", "sk-of-a-client-0123456789"
# The hosts take longer than the times that are asked for here.
ANSWER_S, IMPATIENT_S = 0.5, 0.1
QUESTION = {"model": ALIAS, "messages": [{"role": "user", "content": "hello"}]}
# what is said -> in the body, in the headers
SAID: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "nothing": ({}, {}),
    "timeout": ({"timeout": IMPATIENT_S}, {}),
    "request_timeout": ({"request_timeout": IMPATIENT_S}, {}),
    "header": ({}, {"x-litellm-timeout": str(IMPATIENT_S)}),
    "retries": ({"num_retries": 3, "timeout": IMPATIENT_S}, {"x-litellm-num-retries": "3"}),
    "fallbacks": ({"fallbacks": [ALIAS], "timeout": IMPATIENT_S}, {}),
    "rate limit": ({"mock_testing_rate_limit_error": True}, {}),
    "failure": ({"mock_testing_fallbacks": True}, {}),
    "mocked time": ({"mock_timeout": True, "timeout": IMPATIENT_S}, {}),
    "cooldown": ({"cooldown_time": 600, "timeout": IMPATIENT_S}, {}),
    "provider": ({"custom_llm_provider": "anthropic"}, {}),
}


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    shutil.copy(ROLE / "files" / "homelab_llm_auth.py", folder)
    known = {hashlib.sha256(CLIENT.encode()).hexdigest(): {"key_alias": "impatient", "models": [ALIAS]}}
    (folder / "clients.json").write_text(json.dumps(known), encoding="utf-8")
    slow = Is(after_s=ANSWER_S)
    with hosts({"first": slow, "second": slow}) as found:
        backends = [Backend(name, host.address, "model", engine="external") for name, host in found.items()]
        config = config_of({ALIAS: backends}, clients={"impatient": {"aliases": [ALIAS]}}, cooldown_s=600.0)
        try:
            with litellm_proxy(config, folder) as running:
                yield running
        except Unavailable as reason:
            pytest.skip(str(reason))


def ask(proxy: Proxy, said: Mapping[str, Any], headers: Mapping[str, str]) -> Reply:
    connection = proxy.connect(60)
    try:
        everything = {"Content-Type": "application/json", "Authorization": f"Bearer {proxy.key}", **headers}
        connection.request("POST", "/v1/chat/completions", json.dumps({**QUESTION, **said}).encode(), everything)
        answer = connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize(("said", "headers"), SAID.values(), ids=SAID)
def test_the_first_host_goes_on_to_answer(proxy: Proxy, said: dict[str, Any], headers: dict[str, str]) -> None:
    """Also the client itself: what it may not say is not there for LiteLLM."""
    for key, words in ((CLIENT, (said, headers)), (proxy.key, ({}, {}))):
        reply = ask(dataclasses.replace(proxy, key=key), *words)
        assert (reply.status, reply.headers.get("x-litellm-model-id")) == (200, f"first--first-model--{ALIAS}"), reply.content


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
def test_a_client_that_hangs_up_takes_no_host_away(proxy: Proxy, streams: bool) -> None:
    connection = proxy.connect(60)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {CLIENT}"}
    connection.request("POST", "/v1/chat/completions", json.dumps({**QUESTION, "stream": streams}).encode(), headers)
    time.sleep(IMPATIENT_S)
    connection.close()
    # The host that was asked has answered by then.
    time.sleep(2 * ANSWER_S)
    reply = ask(proxy, {}, {})
    assert (reply.status, reply.headers.get("x-litellm-model-id")) == (200, f"first--first-model--{ALIAS}"), reply.content


def test_the_administrator_is_taken_at_their_word_and_takes_no_host_away(proxy: Proxy) -> None:
    """LiteLLM's own rule: a time that the caller named says nothing about the host."""
    assert ask(proxy, {"timeout": IMPATIENT_S}, {}).status == 408
    reply = ask(proxy, {}, {})
    assert (reply.status, reply.headers.get("x-litellm-model-id")) == (200, f"first--first-model--{ALIAS}"), reply.content
