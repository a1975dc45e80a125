"""The words that the inventory's schema is made of: names, addresses, sizes, and the base of every model."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

# No memory, file or context is larger: what is above is a slip of the finger, not a machine.
LARGEST_GIB = 1_048_576
LARGEST_CONTEXT_TOKENS = 2**26


def checked_url(value: str) -> str:
    """An http address of an engine or router. Raises ValueError with what is expected."""
    expected = "http:// or https:// with a host, a port up to 65535 if any, and without /v1, such as http://star.lan:11434"
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", value) or value.rstrip("/").endswith("/v1"):
        raise ValueError(expected)
    return value


def checked_base(value: str) -> str:
    """An address of an engine or of the router. Raises ValueError with what is expected."""
    parts = urlsplit(checked_url(value))
    if "@" in parts.netloc or "?" in value or "#" in value:
        raise ValueError("an address without user, password, ? and #: it is shown and logged, and paths are put behind it")
    return value


def checked_variable(value: str) -> str:
    """The name of a secret of the proxy that is meant for an engine. Raises ValueError with what is expected."""
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,127}", value) or value == "LITELLM_MASTER_KEY":
        raise ValueError("the name of a variable, of capitals, digits and _, such as VLLM_API_KEY, and not the router's own key")
    return value


NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$"
NAME_IN_WORDS = "a name of letters, digits and . _ : / @ + - that begins with a letter or digit"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=128)]
Url = Annotated[str, AfterValidator(checked_url)]
BaseUrl = Annotated[str, AfterValidator(checked_base)]
Variable = Annotated[str, AfterValidator(checked_variable)]
Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$|^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*$", max_length=253)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(min_length=1)]
# As Go's time.ParseDuration takes it, or whole seconds: Ollama falls back to five minutes for anything else, without a word.
Duration = Annotated[str, StringConstraints(pattern=r"^-?(\d+|(\d+(\.\d+)?(ns|us|ms|s|m|h))+)$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Gibibytes = Annotated[float, Field(gt=0, le=LARGEST_GIB)]
ContextTokens = Annotated[int, Field(ge=64, le=LARGEST_CONTEXT_TOKENS)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
KvType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
Mode = Literal["chat", "embedding"]


class Strict(BaseModel):
    """Base of everything a person writes: no unknown keys, no silent conversions, no later change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
