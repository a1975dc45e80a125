"""Nothing that LiteLLM's release knows as a parameter takes a host away from the others when a client says it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.proxy.router import ROLE, Backend, Proxy, Reply, config_of, litellm_proxy
from tests.rules.environments import ENVIRONMENT, PINNED, Unavailable, python_of
from tests.rules.hosts import UP, Host, hosts

ALIAS, CLIENT = "chat", "sk-of-a-client-0123456789"
QUESTION = {"model": ALIAS, "messages": [{"role": "user", "content": "hello"}]}
# All names that the release itself takes: its own, OpenAI's, and those of its calls. A new release brings its own.
PROGRAM = """
import inspect, json, litellm
from litellm.constants import OPENAI_CHAT_COMPLETION_PARAMS
from litellm.types.utils import all_litellm_params
calls = (litellm.completion, litellm.acompletion, litellm.embedding, litellm.text_completion, litellm.responses)
names = {name for call in calls for name in inspect.signature(call).parameters}
print(json.dumps([sorted(all_litellm_params), sorted({*names, *all_litellm_params, *OPENAI_CHAT_COMPLETION_PARAMS})]))
"""
VALUES = ("x", True, 7, {"x": "x"}, ["x"])
# The question itself; and these hosts do not stream.
LEFT_OUT = {"model", "messages", "stream", "stream_response"}
# So many at a time keep one process busy.
SIDE_BY_SIDE = 4
Router = tuple[Proxy, dict[str, Host]]


@pytest.fixture(scope="module")
def names() -> tuple[list[str], list[str]]:
    """LiteLLM's own ones, and all."""
    try:
        command = [str(python_of(PINNED)), "-c", PROGRAM]
    except Unavailable as reason:
        pytest.skip(str(reason))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=ENVIRONMENT)
    own, everything = json.loads(done.stdout)
    return own, [name for name in everything if name not in LEFT_OUT]


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    folder = tmp_path_factory.mktemp("proxy")
    shutil.copy(ROLE / "files" / "homelab_llm_auth.py", folder)
    known = {hashlib.sha256(CLIENT.encode()).hexdigest(): {"key_alias": "curious", "models": [ALIAS]}}
    (folder / "clients.json").write_text(json.dumps(known), encoding="utf-8")
    with hosts({"first": UP, "second": UP}) as found:
        backends = [Backend(name, host.address, "model", engine="external") for name, host in found.items()]
        config = config_of({ALIAS: backends}, clients={"curious": {"aliases": [ALIAS]}}, cooldown_s=600.0)
        try:
            with litellm_proxy(config, folder) as running:
                yield Proxy(running.url, CLIENT, running.log), found
        except Unavailable as reason:
            pytest.skip(str(reason))


def said(proxy: Proxy, cases: list[tuple[str, Any]]) -> dict[str, Reply]:
    """What came back for each name and value."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        replies = list(pool.map(lambda case: proxy.post("/v1/chat/completions", {**QUESTION, case[0]: case[1]}), cases))
    return {f"{name}={value!r}": reply for (name, value), reply in zip(cases, replies, strict=True)}


def test_no_parameter_takes_a_host_away(router: Router, names: tuple[list[str], list[str]]) -> None:
    """LiteLLM's own names with one value, for what is taken away is taken away with any; all others with each."""
    proxy, found = router
    own, everything = names
    once = [(name, VALUES[0]) for name in own if name in everything]
    replies = said(proxy, once + [(name, value) for name in everything if name not in own for value in VALUES])
    odd = {case: (reply.status, reply.content[:200]) for case, reply in replies.items() if reply.status != 200}
    # Some are refused before a host is asked.
    assert found["second"].asked == [], odd
    assert len(found["first"].asked) > len(replies) / 2


def test_what_the_engine_gets_is_no_name_of_litellm(router: Router) -> None:
    proxy, found = router
    asked = found["first"].asked
    asked.clear()
    said(proxy, [("seed", 7), ("client", "x"), ("azure", True), ("deployment_id", "x"), ("keep_alive", 5), ("top_k", 3)])
    more = {name for _path, body in asked for name in body} - set(QUESTION)
    assert more == {"seed", "keep_alive", "top_k"}
