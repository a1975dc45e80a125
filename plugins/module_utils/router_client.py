"""Asks one alias of the router, as any client would, and tells which deployment answered."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
import urllib.error
from typing import Any, Mapping

from ansible.module_utils.urls import open_url

# Enough to see that a model speaks; verify asks, it does not measure.
PROBE_TOKENS = 16
PROBE_TEXT = "Answer with one word: ready?"
DEPLOYMENT_HEADER = "x-litellm-model-id"
EXCERPT_CHARACTERS = 80
PATHS = {"chat": "/v1/chat/completions", "completion": "/v1/completions", "embedding": "/v1/embeddings"}
NAMES_PATH = "/v1/models"
# Request Timeout and Gateway Timeout: whoever was asked behind the router took too long.
LATE = (408, 504)
KEY_NAME = "LITELLM_MASTER_KEY"


def read_key(path: str) -> str:
    """The master key out of the router's environment file. Raises ValueError without showing the content."""
    try:
        with open(path, encoding="utf-8") as stream:
            for line in stream:
                name, separator, value = line.strip().partition("=")
                if separator and name == KEY_NAME:
                    return value.strip("\"'")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}; expected the router's environment file") from error
    raise ValueError(f"{path}: got no line {KEY_NAME}=…, expected one; run deploy.yml again")


def knows(url: str, key: str, timeout_s: float) -> bool:
    """Whether a router is there and opens to the key; one that takes too long to say so may."""
    try:
        headers = {"Authorization": f"Bearer {key}"}
        with contextlib.closing(open_url(url + NAMES_PATH, headers=headers, timeout=timeout_s, use_proxy=False, use_netrc=False)):
            return True
    except (OSError, ValueError, http.client.HTTPException) as error:
        return _is_late(error)


def ask(url: str, key: str, alias: str, mode: str, timeout_s: float, exact: bool = False) -> dict[str, Any]:
    """One request to an alias; where `exact`, nobody else is asked instead and nothing is asked twice.

    Returns ``{"alias", "answered_by", "seconds", "excerpt", "dimension", "error", "status", "late"}``: answered_by is the
    deployment's id, excerpt the first characters of an answer in words, dimension the length of an embedding, error a
    sentence, status that of HTTP; None where there is none. late: no answer within the time.
    """
    answer: dict[str, Any] = dict.fromkeys(("answered_by", "excerpt", "dimension", "error", "status"))
    started = time.monotonic()
    late = False
    try:
        answer.update(_asked(url, key, _body(alias, mode, exact), mode, timeout_s))
    except (OSError, ValueError, http.client.HTTPException) as error:
        late = _is_late(error)
        answer["error"] = f"no usable answer from {url}: {getattr(error, 'reason', error) or type(error).__name__}"
    return {**answer, "alias": alias, "seconds": round(time.monotonic() - started, 3), "late": late or answer["status"] in LATE}


def _is_late(error: Exception) -> bool:
    # socket.timeout is another class before Python 3.10.
    return isinstance(getattr(error, "reason", error), (TimeoutError, socket.timeout))


def _body(alias: str, mode: str, exact: bool) -> dict[str, Any]:
    alone = {"disable_fallbacks": True, "num_retries": 0} if exact else {}
    if mode == "embedding":
        return {"model": alias, "input": PROBE_TEXT, **alone}
    asked: dict[str, Any] = {"prompt": PROBE_TEXT}
    if mode == "chat":
        asked = {"messages": [{"role": "user", "content": PROBE_TEXT}]}
    # No temperature: some models know their own only.
    return {"model": alias, **asked, "max_tokens": PROBE_TOKENS, **alone}


def _asked(url: str, key: str, body: Mapping[str, Any], mode: str, timeout_s: float) -> dict[str, Any]:
    """What the router answered, be it an error. No proxy of the environment and no .netrc has a part in it: the key is secret."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    send = {"data": json.dumps(body), "headers": headers, "method": "POST", "timeout": timeout_s}
    try:
        with contextlib.closing(open_url(url + PATHS[mode], use_proxy=False, use_netrc=False, **send)) as response:
            by = {"answered_by": response.headers.get(DEPLOYMENT_HEADER), "status": response.status}
            return {**by, **_content(json.loads(response.read()), mode)}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "error": f"the router answered HTTP {error.code}: {_message(error.read())}"}


def _content(reply: Any, mode: str) -> dict[str, Any]:
    try:
        if mode == "embedding":
            return {"dimension": len(reply["data"][0]["embedding"])}
        choice = reply["choices"][0]
        message = choice["message"] if mode == "chat" else {"content": choice["text"]}
        text = message.get("content") or message.get("reasoning_content") or message.get("reasoning")
        if text:
            return {"excerpt": str(text)[:EXCERPT_CHARACTERS]}
        # A model whose engine keeps its reasoning to itself has nothing to say yet.
        cut = choice.get("finish_reason") == "length"
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"the reply has no answer in it ({type(error).__name__}: {error})") from error
    return {"excerpt": f"(nothing within {PROBE_TOKENS} tokens)"} if cut else {"error": "the answer is empty"}


def _message(body: bytes) -> str:
    """The error text of an OpenAI-style reply, or its first characters."""
    found: Any | None = None
    try:
        found = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        found = body.decode("utf-8", errors="replace")
    return str(found)[:300]
