"""Asks a registry, and gets the token it wants from everybody who asks without a login.

The protocol is that of distribution's token authentication: 401 with ``WWW-Authenticate: Bearer realm=…,service=…,scope=…``, a
GET of the realm, the token of its answer as Bearer. Ollama signs that GET with a key of its user (server/auth.go of v0.34.1);
without a signature a registry gives what everybody may have.
"""

from __future__ import annotations

import re
from typing import Mapping
from urllib.parse import urlencode, urlsplit

from .gguf_bytes import GgufError
from .http_client import Answer, Client, without_secrets
from .ollama_manifest import read_json

FIELD = re.compile(r'(?P<name>\w+)="(?P<value>[^"]*)"')
TOKEN = re.compile(r"[!-~]{1,16384}")
MAX_TOKEN_BYTES = 65_536


def ask(client: Client, url: str, headers: Mapping[str, str]) -> Answer:
    """GET, and once more with an anonymous token where the server asks for one. Raises GgufError where no token is to be had."""
    answer = client.get(url, headers)
    challenge = answer.headers.get("www-authenticate", "")
    if answer.status != 401 or client.is_authorized(answer.url) or "bearer " not in challenge.lower():
        return answer
    answer.body.close()
    client.authorize(answer.url, "Bearer " + _anonymous_token(client, answer.url, challenge))
    return client.get(url, headers)


def _anonymous_token(client: Client, url: str, challenge: str) -> str:
    fields = {match["name"].lower(): match["value"] for match in FIELD.finditer(challenge[challenge.lower().index("bearer ") :])}
    realm = fields.get("realm", "")
    scheme = urlsplit(url).scheme
    if not realm.startswith(("https://", f"{scheme}://")):
        raise GgufError(
            f"{without_secrets(url)}: wants a token from {without_secrets(realm)[:80]!r}, expected an address with TLS"
        )
    query = [("service", fields["service"])] if "service" in fields else []
    query += [("scope", scope) for scope in fields.get("scope", "").split()]
    answer = client.get(f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}", {})
    if answer.status != 200:
        answer.body.close()
        said = f"{without_secrets(realm)} answered {answer.status} to a request for a token without a login"
        raise GgufError(f"{without_secrets(url)}: {said}: make the model readable for everybody, or declare its size")
    reply = read_json(client.read_all(answer, MAX_TOKEN_BYTES), without_secrets(realm), "token")
    token = reply.get("token") or reply.get("access_token")
    if not isinstance(token, str) or not TOKEN.fullmatch(token):
        raise GgufError(f"{without_secrets(realm)}: gave no token, expected one; check the registry's address")
    return token
