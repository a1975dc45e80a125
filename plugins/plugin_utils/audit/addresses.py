"""Addresses of hosts and names of models, as a configuration writes them."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

# Endings of names that no public host has (RFC 6761, RFC 6762, RFC 8375, and what routers for the home use).
OWN_ENDINGS = frozenset({"local", "localhost", "localdomain", "lan", "home", "internal", "intranet", "test", "arpa", "corp"})
ENVIRONMENT = "os.environ/"
# Models that make vectors and do not say so in their names; rerankers of the same families do not.
EMBEDDERS = re.compile(r"(?:^|[/_-])(?:bge|e5|gte|all-minilm|minilm|paraphrase|stella)(?=[-_:]|$)")
# Families of chat models, and what members of them that do something else have in their names.
CHATTERS = re.compile(
    r"(?:^|[/_.-])(?:(?:claude|codellama|command|deepseek|devstral|gemini|gemma|glm|gpt|granite|grok|hermes|kimi|llama|magistral|"
    r"ministral|mistral|mixtral|nemotron|olmo|phi|qwen|qwq|smollm|vicuna)(?=[-_.:@\d]|$)|(?:chat|instruct|it)(?=[-_:]|$))"
)
NO_CHATTERS = re.compile(
    r"asr|audio|clip|diffusion|embed|guard|image|moderat|ocr|omni|rank|realtime|speech|transcri|tts|video|voice"
)


def is_environment(value: object) -> bool:
    """Whether the value comes from a variable of the proxy's process."""
    return isinstance(value, str) and value.startswith(ENVIRONMENT)


def is_embedder(model: str) -> bool:
    """Whether the name of a model is that of one that makes vectors."""
    name = model.lower()
    return "embed" in name or ("rerank" not in name and EMBEDDERS.search(name) is not None)


def is_chatter(model: str) -> bool:
    """Whether the name of a model is that of one that chats; of many names nobody can say."""
    name = model.lower()
    return CHATTERS.search(name) is not None and NO_CHATTERS.search(name) is None and not is_embedder(name)


def host_of(base: str | None) -> str | None:
    """``http://star:11434/v1`` -> ``star``; ``http://127.0.0.1:8080`` -> ``127.0.0.1:8080``."""
    if not base:
        return None
    if is_environment(base):
        return base
    try:
        parts = urlsplit(base if "//" in base else f"//{base}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return without_password(base)
    if not host:
        return without_password(base)
    return f"{host}:{port}" if port and _is_loopback(host) else host


def without_password(base: str) -> str:
    """An address as a message may show it."""
    before, at, rest = base.rpartition("@")
    return f"{before.partition('//')[0]}//…@{rest}" if at else base


def is_public(base: str) -> bool:
    """Whether an address is one of the internet: over TLS, at the usual port, by a name with a public ending."""
    try:
        parts = urlsplit(base)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    ending = host.rpartition(".")[2]
    return parts.scheme == "https" and port in (None, 443) and "." in host and ending.isalpha() and ending not in OWN_ENDINGS


def port_of(base: str | None) -> int | None:
    """The port that an address names."""
    try:
        return urlsplit(base).port if base else None
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
