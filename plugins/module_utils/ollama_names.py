"""Names of models as Ollama understands them: [host/][namespace/]model[:tag].

Source: types/model/name.go of Ollama v0.34.1 (the same in v0.24.0). Its comment also lists ``@digest``, which its parser does not
read: such a name is invalid there, and here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .gguf_bytes import GgufError

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
# What each part may consist of; exactly one level of namespace.
PARTS = {
    "host": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}"),
    "namespace": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}"),
    "model": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"),
    "tag": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"),
}


@dataclass(frozen=True)
class ModelName:
    """A complete name, in the spelling that was given."""

    host: str
    namespace: str
    model: str
    tag: str

    def __str__(self) -> str:
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def repository(self) -> str:
        """The part of a registry's paths that names the model without its tag."""
        return f"{self.namespace}/{self.model}"

    @property
    def is_cloud(self) -> bool:
        """Whether Ollama would run it elsewhere (internal/modelref of v0.34.1): there are no weights to read."""
        tag = self.tag.lower()
        return tag == "cloud" or tag.endswith("-cloud")


def parse_model_name(text: str) -> ModelName:
    """A name with Ollama's defaults filled in. Raises GgufError where Ollama would call it invalid."""
    if "@" in text:
        raise _invalid(text, "Ollama reads no digest in a name; write the tag")
    rest, tag = _without_place(text), DEFAULT_TAG
    if _has_tag(rest):
        rest, _colon, tag = rest.rpartition(":")
    rest, slash, model = rest.rpartition("/")
    host, host_slash, namespace = rest.rpartition("/")
    name = ModelName(
        host=host if host_slash else DEFAULT_HOST,
        namespace=namespace if slash else DEFAULT_NAMESPACE,
        model=model,
        tag=tag,
    )
    for part, pattern in PARTS.items():
        found = getattr(name, part)
        if not pattern.fullmatch(found):
            raise _invalid(text, f"its {part} {found[:80]!r} is none that Ollama accepts")
    return name


def same_model(text: str) -> str:
    """A name as a store knows it: complete and, as Ollama compares, in lower case. Of no valid name: itself."""
    try:
        return str(parse_model_name(text)).lower()
    except GgufError:
        return text.lower()


def _has_tag(text: str) -> bool:
    return text.rfind(":") > text.rfind("/")


def _without_place(text: str) -> str:
    """The name without a last ":local" or ":cloud", which say where a model runs (internal/modelref of v0.34.1).

    Nothing is pulled under ":local"; what is pulled under ":cloud" has it in its tag.
    """
    base, _colon, place = text.rpartition(":")
    if place.lower() == "local":
        return base
    return f"{base}-cloud" if place.lower() == "cloud" and _has_tag(base) else text


def _invalid(text: str, reason: str) -> GgufError:
    return GgufError(f"{text[:80]!r} is no name of a model: {reason}; expected [host/][namespace/]model[:tag]")
