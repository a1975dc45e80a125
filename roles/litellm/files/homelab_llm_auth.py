# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may call which alias: LiteLLM calls `user_api_key_auth` for every request that needs a key.

clients.json beside this file has, by the SHA-256 of each client's key, its name and its models. Keys themselves stand in no file
that the proxy reads. LITELLM_MASTER_KEY is the administrator's.

LiteLLM compares a key's models with the model of the body. Some of its paths take the model from the address instead, which would
open every model to every key: a client may use the paths below only, and name its model in the body only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from pathlib import Path

from litellm.proxy._types import LitellmUserRoles, ProxyException, UserAPIKeyAuth
from starlette.requests import Request

# What is for clients; everything else is the administrator's. Anthropic's path has no short form.
BOTH = ("/chat/completions", "/completions", "/embeddings", "/responses", "/models")
PATHS = frozenset(("/v1/messages", *BOTH, *(f"/v1{path}" for path in BOTH)))


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


CLIENTS = json.loads(Path(__file__).with_name("clients.json").read_text(encoding="utf-8"))
ADMINISTRATOR = digest(os.environ["LITELLM_MASTER_KEY"])


def check_address(request: Request) -> None:
    """Raises ProxyException where a client asks for something that is not for clients."""
    if request.scope["path"] not in PATHS:
        raise ProxyException(message="This key does not open this address.", type="auth_error", param="path", code=403)
    if "model" in request.query_params or "model" in request.path_params:
        raise ProxyException(message="Name the model in the body.", type="auth_error", param="model", code=403)


async def user_api_key_auth(request: Request, api_key: str) -> UserAPIKeyAuth:
    """Who it is. What is looked up is a digest, so the time of a look says nothing about a key."""
    asked = digest(api_key or "")
    if hmac.compare_digest(asked, ADMINISTRATOR):
        return UserAPIKeyAuth(api_key=api_key, key_alias="administrator", user_role=LitellmUserRoles.PROXY_ADMIN)
    client = CLIENTS.get(asked)
    if client is None:
        raise ProxyException(message="This key is not known here.", type="auth_error", param="api_key", code=401)
    check_address(request)
    return UserAPIKeyAuth(api_key=api_key, key_alias=client["key_alias"], models=list(client["models"]))
