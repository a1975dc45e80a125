"""A client's key opens the addresses that are for clients, whatever LiteLLM does with a model that stands in an address."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.rules.environments import PINNED, Unavailable, python_of

FILE = Path(__file__).resolve().parents[2] / "roles" / "litellm" / "files" / "homelab_llm_auth.py"
CLIENT, ADMINISTRATOR = "sk-of-a-client-0123456789", "sk-of-the-administrator-0123"
CALLS = {
    "chat": ("/v1/chat/completions", "", CLIENT, 200),
    "chat without version": ("/chat/completions", "", CLIENT, 200),
    "vectors": ("/v1/embeddings", "", CLIENT, 200),
    "list": ("/v1/models", "", CLIENT, 200),
    "harmless query": ("/v1/models", "return_wildcard_routes=false", CLIENT, 200),
    "model in the query": ("/v1/chat/completions", "model=coding", CLIENT, 403),
    "model in the query twice": ("/v1/chat/completions", "model=fast&model=coding", CLIENT, 403),
    "escaped": ("/v1/chat/completions", "mode%6c=coding", CLIENT, 403),
    "engine in the path": ("/engines/coding/chat/completions", "", CLIENT, 403),
    "deployment in the path": ("/openai/deployments/coding/chat/completions", "", CLIENT, 403),
    "settings": ("/settings", "", CLIENT, 403),
    "health": ("/health", "", CLIENT, 403),
    "what models are": ("/v1/model/info", "", CLIENT, 403),
    "slash": ("/v1/chat/completions/", "", CLIENT, 403),
    "nobody": ("/v1/chat/completions", "", "sk-nobody", 401),
    "no key": ("/v1/chat/completions", "", "", 401),
    "administrator": ("/health", "", ADMINISTRATOR, 200),
    "administrator's query": ("/v1/chat/completions", "model=coding", ADMINISTRATOR, 200),
}
PROGRAM = """
import asyncio, json, sys
from starlette.requests import Request
from homelab_llm_auth import ProxyException, user_api_key_auth

def status(path, query, key):
    scope = {"type": "http", "method": "POST", "path": path, "query_string": query.encode(), "headers": [], "path_params": {}}
    try:
        asyncio.run(user_api_key_auth(Request(scope), key))
    except ProxyException as error:
        return int(error.code)
    return 200

print(json.dumps([status(*call) for call in json.load(sys.stdin)]))
"""


def test_addresses_of_a_client(tmp_path: Path) -> None:
    try:
        python = python_of(PINNED)
    except Unavailable as reason:
        pytest.skip(str(reason))
    shutil.copy(FILE, tmp_path)
    client = {"key_alias": "assistant", "models": ["fast"]}
    (tmp_path / "clients.json").write_text(json.dumps({hashlib.sha256(CLIENT.encode()).hexdigest(): client}), encoding="utf-8")
    variables = {"LITELLM_MASTER_KEY": ADMINISTRATOR, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [str(python), "-c", PROGRAM],
        input=json.dumps([call[:3] for call in CALLS.values()]),
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path, env=variables,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert dict(zip(CALLS, json.loads(done.stdout), strict=True)) == {name: call[3] for name, call in CALLS.items()}
