"""Every address that is open to clients answers with a client's key, with the role's own time for connecting to an engine."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.proxy.router import FIXED, ROLE, Backend, Proxy, config_of, litellm_proxy
from tests.rules.environments import Unavailable
from tests.rules.hosts import UP, Host, hosts

FILE = ROLE / "files" / "homelab_llm_auth.py"
CLIENT, ALIAS, VECTORS = "sk-of-a-client-0123456789", "chat", "vectors"
MESSAGES = {"model": ALIAS, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}
# address without its version -> what is asked there, and the engine's address that gets the question
CALLS: dict[str, tuple[dict[str, Any], str]] = {
    "/chat/completions": (MESSAGES, "/v1/chat/completions"),
    "/completions": ({"model": ALIAS, "prompt": "hello"}, "/v1/completions"),
    "/embeddings": ({"model": VECTORS, "input": "hello"}, "/v1/embeddings"),
    "/responses": ({"model": ALIAS, "input": "hello"}, "/v1/responses"),
    "/messages": (MESSAGES, "/v1/responses"),
}
PATHS = ["/v1/messages", *(f"{version}{path}" for version in ("", "/v1") for path in CALLS if path != "/messages")]


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Host]]:
    folder = tmp_path_factory.mktemp("proxy")
    shutil.copy(FILE, folder)
    known = {hashlib.sha256(CLIENT.encode()).hexdigest(): {"key_alias": "notebook", "models": [ALIAS, VECTORS]}}
    (folder / "clients.json").write_text(json.dumps(known), encoding="utf-8")
    with hosts({"first": UP}) as found:
        aliases = {
            alias: [Backend("first", found["first"].address, alias, engine="external", mode=mode)]
            for alias, mode in ((ALIAS, "chat"), (VECTORS, "embedding"))
        }
        config = config_of(aliases, clients={"notebook": {"aliases": [ALIAS, VECTORS]}})
        try:
            with litellm_proxy(config, folder) as running:
                yield dataclasses.replace(running, key=CLIENT), found["first"]
        except Unavailable as reason:
            pytest.skip(str(reason))


def test_the_role_limits_connecting() -> None:
    """Or these cases would say less than they mean to."""
    assert float(FIXED["ROUTER_CONNECT_S"]) > 0


def test_each_open_address_is_a_case() -> None:
    scope: dict[str, Any] = {}
    for statement in ast.parse(FILE.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) in ("BOTH", "PATHS"):
            exec(compile(ast.Module([statement], []), str(FILE), "exec"), scope)
    assert {*PATHS, "/models", "/v1/models"} == scope["PATHS"]


@pytest.mark.parametrize("path", PATHS)
def test_an_engine_is_asked_and_answers(router: tuple[Proxy, Host], path: str) -> None:
    proxy, host = router
    body, there = CALLS[path.removeprefix("/v1")]
    host.asked.clear()
    reply = proxy.post(path, body)
    assert (reply.status, [asked for asked, _body in host.asked]) == (200, [there]), reply.content


@pytest.mark.parametrize("path", ["/models", "/v1/models"])
def test_the_aliases_are_shown(router: tuple[Proxy, Host], path: str) -> None:
    connection = router[0].connect(60)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {router[0].key}"})
        answer = connection.getresponse()
        assert [one["id"] for one in json.load(answer)["data"]] == [ALIAS, VECTORS]
    finally:
        connection.close()
