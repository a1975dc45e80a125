"""Asks one alias of the router, as any client would, and tells which deployment answered."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
from typing import Any

from ansible.module_utils.urls import open_url

# Enough to see that a model speaks; verify asks, it does not measure.
PROBE_TOKENS = 16
PROBE_TEXT = "Answer with one word: ready?"
DEPLOYMENT_HEADER = "x-litellm-model-id"
EXCERPT_CHARACTERS = 80
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


def ask(url: str, key: str, alias: str, mode: str, timeout_s: float) -> dict[str, Any]:
    """One request to an alias.

    Returns ``{"alias", "answered_by", "seconds", "excerpt", "dimension", "error"}``: answered_by is the deployment's id,
    excerpt the first characters of a chat answer, dimension the length of an embedding, error a sentence; None where there
    is none.
    """
    answer: dict[str, Any] = dict.fromkeys(("answered_by", "excerpt", "dimension", "error"))
    started = time.monotonic()
    try:
        with contextlib.closing(_send(url, key, alias, mode, timeout_s)) as response:
            answer["answered_by"] = response.headers.get(DEPLOYMENT_HEADER)
            answer.update(_content(json.loads(response.read()), mode))
    except urllib.error.HTTPError as error:
        answer["error"] = f"the router answered HTTP {error.code}: {_message(error.read())}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        answer["error"] = f"no usable answer from {url}: {reason}"
    return {**answer, "alias": alias, "seconds": round(time.monotonic() - started, 3)}


def _send(url: str, key: str, alias: str, mode: str, timeout_s: float) -> Any:
    body: dict[str, Any] = {"model": alias, "input": PROBE_TEXT}
    path = "/v1/embeddings"
    if mode == "chat":
        messages = [{"role": "user", "content": PROBE_TEXT}]
        body = {"model": alias, "messages": messages, "max_tokens": PROBE_TOKENS, "temperature": 0}
        path = "/v1/chat/completions"
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    return open_url(url + path, data=json.dumps(body), headers=headers, method="POST", timeout=timeout_s)


def _content(reply: Any, mode: str) -> dict[str, Any]:
    try:
        if mode == "embedding":
            return {"dimension": len(reply["data"][0]["embedding"])}
        message = reply["choices"][0]["message"]
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"the reply has no answer in it ({type(error).__name__}: {error})") from error
    text = message.get("content") or message.get("reasoning_content") or message.get("reasoning")
    return {"excerpt": str(text)[:EXCERPT_CHARACTERS]} if text else {"error": "the answer is empty"}


def _message(body: bytes) -> str:
    """The error text of an OpenAI-style reply, or its first characters."""
    found: Any | None = None
    try:
        found = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        found = body.decode("utf-8", errors="replace")
    return str(found)[:300]
