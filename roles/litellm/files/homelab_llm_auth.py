# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may call which alias: LiteLLM calls `user_api_key_auth` for every request that needs a key.

clients.json beside this file has, by the SHA-256 of each client's key, its name and its models. Keys themselves stand in no file
that the proxy reads. LITELLM_MASTER_KEY is the administrator's.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from pathlib import Path

from litellm.proxy._types import LitellmUserRoles, ProxyException, UserAPIKeyAuth


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


CLIENTS = json.loads(Path(__file__).with_name("clients.json").read_text(encoding="utf-8"))
ADMINISTRATOR = digest(os.environ["LITELLM_MASTER_KEY"])


async def user_api_key_auth(request: object, api_key: str) -> UserAPIKeyAuth:
    """Who it is. What is looked up is a digest, so the time of a look says nothing about a key."""
    asked = digest(api_key or "")
    if hmac.compare_digest(asked, ADMINISTRATOR):
        return UserAPIKeyAuth(api_key=api_key, key_alias="administrator", user_role=LitellmUserRoles.PROXY_ADMIN)
    client = CLIENTS.get(asked)
    if client is None:
        raise ProxyException(message="This key is not known here.", type="auth_error", param="api_key", code=401)
    return UserAPIKeyAuth(api_key=api_key, key_alias=client["key_alias"], models=list(client["models"]))
