"""Rules about the addresses of hosts: what LiteLLM puts behind them, and whether anything can be sent there at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from ..problems import Path
from .addresses import is_environment, port_of, without_password
from .config import OLLAMA, OLLAMA_PORT, Deployment
from .finding import Edit, Found, Subject, rule
from .rules_providers import OPENAI_LIKE

# Providers that ask below the address itself, and what they put behind it.
PATHS = {
    "ollama": "/api/generate",
    "ollama_chat": "/api/chat",
    **dict.fromkeys(OPENAI_LIKE, "/chat/completions"),
}
# The whole paths that a provider knows and adds nothing to (llms/ollama of 1.106.2).
TAKEN = {"ollama": ("/api/generate", "/api/embed"), "ollama_chat": ("/api/chat",)}
# What stands at the end of an address that somebody copied from a request: of the OpenAI interface, or of Ollama's own.
ENDINGS = re.compile(
    r"(?:/v1/(?:chat/completions|completions|embeddings|models|responses)"
    r"|/api(?:/(?:generate|chat|tags|embed|embeddings|show|ps))?|/chat/completions|/embeddings)$"
)
# Any scheme, and http or https with too little behind it.
BEGIN = re.compile(r"[a-z][a-z0-9+.-]*://|https?(?::/?|//?)(?=[^/0-9])", re.IGNORECASE)


@rule("ollama-api-base-v1", "error", "LiteLLM adds /api/chat to the address: with /v1 before it Ollama answers 404.")
def ollama_api_base_v1(subject: Subject) -> Iterator[Found]:
    for item in subject.config.models:
        base = item.base
        if item.prefix in OLLAMA and base and base.rstrip("/").endswith("/v1"):
            better = base.rstrip("/")[: -len("/v1")]
            path = _base_path(item)
            said = without_password(better)
            got, expected = without_password(base), f"{said} for the provider {item.prefix}"
            yield Found(path, got, expected, f"Write {said}.", edits=(Edit(path, better),))


@rule(
    "openai-api-base-no-v1",
    "error",
    "The provider openai/ adds /chat/completions to the address; Ollama has that only below /v1.",
)
def openai_api_base_no_v1(subject: Subject) -> Iterator[Found]:
    for item in subject.config.models:
        parts = _parts(item.base) if item.prefix in OPENAI_LIKE and port_of(item.base) == OLLAMA_PORT else None
        # Whole paths of requests are another rule's, but for hosted_vllm, to which they may be given.
        path = parts.path.rstrip("/") if parts else ""
        end = ENDINGS.search(path)
        if item.base and parts and not path.endswith("/v1") and (not end or end[0] == "/api"):
            root, place = parts._replace(path="/v1", query="", fragment="").geturl(), _base_path(item)
            # What is to become of another path, nobody knows.
            bare = not path and not parts.query and not parts.fragment
            said, edits = without_password(root), (Edit(place, root),) if bare else ()
            yield Found(place, without_password(item.base), said, f"Write {said}.", edits=edits)


def _parts(base: str | None) -> SplitResult | None:
    try:
        return urlsplit(base) if base else None
    except ValueError:
        return None


def _base_path(item: Deployment) -> Path:
    return item.place_of("api_base" if item.given("api_base") is not None else "base_url")


@rule(
    "api-base-path",
    "error",
    "LiteLLM puts the path of each request behind the address: with a part of it there it is 404.",
)
def api_base_path(subject: Subject) -> Iterator[Found]:
    """``/api/chat`` itself is known to ollama_chat/ and left alone, and so are whole paths to hosted_vllm/."""
    for item in subject.config.models:
        better = _without_request(item) if item.prefix in PATHS and item.prefix != "hosted_vllm" else None
        if item.base and better is not None:
            said, path = without_password(better), _base_path(item)
            got = f"{without_password(item.base.rstrip('/'))}, behind which {PATHS[str(item.prefix)]} is put"
            yield Found(path, got, said, f"Write {said}.", edits=(Edit(path, better),))


def _without_request(item: Deployment) -> str | None:
    """The address without the path of a request at its end; None where there is none."""
    base, ollama = (item.base or "").rstrip("/"), item.prefix in OLLAMA
    end = ENDINGS.search(base)
    if not end or end[0] in TAKEN.get(str(item.prefix), ()) or (end[0] == "/api" and not ollama):
        return None
    return base[: end.start()] + ("/v1" if end[0].startswith(("/v1", "/api")) and not ollama else "")


@rule("api-base-scheme", "error", "Nothing can be sent to such an address: each request fails.")
def api_base_scheme(subject: Subject) -> Iterator[Found]:
    for item in subject.config.models:
        # What a variable stands in is another rule's.
        if item.prefix in PATHS and item.base and not is_environment(item.base) and "$" not in item.base:
            expected, mend = _wanted(item.base.strip())
            if expected:
                yield Found(_base_path(item), without_password(item.base), expected, mend)


def _wanted(base: str) -> tuple[str, str]:
    """What is wrong with an address, as what was expected and a mend; empty where nothing is."""
    begin = BEGIN.match(base)
    if not begin or begin[0].lower() not in ("http://", "https://"):
        said = without_password(f"http://{base[begin.end() :] if begin else base}")
        return "http:// or https:// and a host", f"Write {said}, or https://."
    rest = base[begin.end() :]
    if BEGIN.match(rest):
        return "http:// or https:// once", f"Write {without_password(rest)}."
    try:
        parts = urlsplit(base)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "a host and a port from 1 to 65535", "Write it as http://host:port."
    if not host or any(letter.isspace() for letter in host):
        return "a host without spaces", "Write it as http://host:port."
    return "", ""
