"""Numbers that people write, checked: each refusal says the key, what was got and what was expected."""

from __future__ import annotations

import math
import re
from typing import Any, Mapping

INT32_MAX = 2**31 - 1
# LLAMA_MAX_SEQ of src/llama-cparams.h, llama.cpp b10488.
MAX_SEQUENCES = 256
# What a whole number may be. gpu_layers -1 is what engines take for "all".
RANGES = {
    "context_tokens": (1, INT32_MAX),
    "parallel": (1, MAX_SEQUENCES),
    "batch_tokens": (1, INT32_MAX),
    "ubatch_tokens": (1, INT32_MAX),
    "gpu_layers": (-1, INT32_MAX),
    "cache_ram_mib": (0, INT32_MAX),
    "file_bytes": (1, 2**50),
}
WHY = {"cache_ram_mib": "; a prompt cache without a limit (-1) takes whatever there is, give it one"}
ANY_WHOLE = (-INT32_MAX, INT32_MAX)
# No machine has a memory of more.
MAX_GIB = 2**20


def whole(values: Mapping[str, Any], key: str) -> int | None:
    """A whole number of the range that the key allows, None where there is none. Raises ValueError for anything else."""
    value = values.get(key)
    if value is None:
        return None
    low, high = RANGES.get(key, ANY_WHOLE)
    number = _number(value)
    if number is None or number != int(number) or not low <= number <= high:
        raise ValueError(f"got {key} {shown(value)}, expected a whole number from {low} to {high}{WHY.get(key, '')}")
    return int(number)


def gibibytes(values: Mapping[str, Any], key: str, where: str = "") -> float | None:
    """GiB that are not negative, None where there are none. Raises ValueError for anything else."""
    value = values.get(key)
    if value is None:
        return None
    number = _number(value)
    if number is None or not 0 <= number <= MAX_GIB:
        raise ValueError(f"{where}got {key} {shown(value)}, expected GiB from 0 to {MAX_GIB}")
    return float(number)


def _number(value: Any) -> int | float | None:
    """The number that is meant; None for what is none, for truth values and for what is not finite."""
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,30}\s*", value, re.ASCII):
        return int(value)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def version_of(engine: str, said: Any) -> str | None:
    """An engine's version as the formulas read it. Raises ValueError for what is none."""
    text = "" if said is None else str(said).strip()
    if not text:
        return None
    if engine == "ollama":
        found = re.match(r"v?(\d+\.\d+)(\.\d+)?(?![\d.])", text)
        if not found:
            raise ValueError(f"got engine_version {shown(said)}, expected one of Ollama's, such as 0.33.0")
        return f"{found[1]}{found[2] or '.0'}"
    if not re.fullmatch(r"b?\d{1,9}", text):
        raise ValueError(f"got engine_version {shown(said)}, expected a build of llama.cpp, such as b10488")
    return text if text.startswith("b") else f"b{text}"


def shown(value: Any) -> str:
    """What was got, at most half a line of it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]} ..."
