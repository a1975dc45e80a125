# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of a model in an Ollama: those that are wanted, checked, and those that it has, in one spelling to compare them."""

from __future__ import annotations

import difflib
import json
import math
import re
from typing import Any, Mapping

from .transfer_progress import ModelProblem

# api/types.go of Ollama v0.33.0, Options and Runner (v0.24.0 has all but draft_num_predict). Ollama warns in its log of a name
# that it does not know and goes on without it; of a value of another type it complains only when the model is loaded.
WHOLE = "a whole number"
NUMBER = "a number"
SWITCH = "true or false"
TEXTS = "a list of texts"
KNOWN = {
    "draft_num_predict": WHOLE,
    "frequency_penalty": NUMBER,
    "main_gpu": WHOLE,
    "min_p": NUMBER,
    "num_batch": WHOLE,
    "num_ctx": WHOLE,
    "num_gpu": WHOLE,
    "num_keep": WHOLE,
    "num_predict": WHOLE,
    "num_thread": WHOLE,
    "presence_penalty": NUMBER,
    "repeat_last_n": WHOLE,
    "repeat_penalty": NUMBER,
    "seed": WHOLE,
    "stop": TEXTS,
    "temperature": NUMBER,
    "top_k": WHOLE,
    "top_p": NUMBER,
    "typical_p": NUMBER,
    "use_mmap": SWITCH,
}
SWITCHES = {"true": True, "false": False}
# The first number beyond Go's int.
TOO_LARGE = 2**63
# GetModelInfo in server/routes.go prints one value a line with Go's %#v: the name, blanks up to column 30 and the value.
PARAMETER_LINE = re.compile(r"(?P<name>\S+) +(?P<value>.*)")
# strconv.Quote of Go.
GO_ESCAPE = re.compile(r"\\(?:x(?P<byte>[0-9a-f]{2})|u(?P<short>[0-9a-f]{4})|U(?P<long>[0-9a-f]{8})|(?P<letter>.))")
GO_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def wanted_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, as Ollama takes it: what a template made text is a number again. Raises ModelProblem."""
    return {name: _wanted(name, value) for name, value in given.items()}


def _wanted(name: Any, value: Any) -> Any:
    kind = KNOWN.get(name)
    if kind is None:
        nearest = difflib.get_close_matches(str(name), KNOWN, 1)
        expected = nearest[0] if nearest else f"one of {', '.join(KNOWN)}"
        raise ModelProblem(
            f"got parameter {str(name)[:80]!r}, which Ollama would leave aside; expected {expected}: correct the name"
        )
    taken = _texts(value) if kind == TEXTS else _switch(value) if kind == SWITCH else _number(value, kind)
    if taken is None:
        raise ModelProblem(f"got parameter {name!r}: {str(value)[:80]!r}; expected {kind}: correct the value")
    return taken


def _texts(value: Any) -> list[str] | None:
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, (list, tuple)) and all(isinstance(text, str) for text in texts):
        return [str(text) for text in texts]
    return None


def _switch(value: Any) -> bool | None:
    return value if isinstance(value, bool) else SWITCHES.get(str(value).lower())


def _number(value: Any, kind: str) -> float | None:
    number = _read(value.strip()) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not -TOO_LARGE < number < TOO_LARGE:
        return None
    if kind == NUMBER or isinstance(number, int):
        return number
    return int(number) if number.is_integer() else None


def listed(parameters: Mapping[str, Any]) -> dict[str, list[str]]:
    """Each name with its values as JSON; a list has any number of them."""
    return {
        name: [_value(item) for item in (value if isinstance(value, list) else [value])] for name, value in parameters.items()
    }


def shown_parameters(shown: Mapping[str, Any]) -> dict[str, list[str]]:
    """The parameters that /api/show lists, like ``listed``; it is silent about empty lists."""
    found: dict[str, list[str]] = {}
    for line in str(shown.get("parameters") or "").split("\n"):
        match = PARAMETER_LINE.fullmatch(line.strip())
        if match:
            found.setdefault(match["name"], []).append(_value(_read(match["value"])))
    return found


def parameters_text(parameters: Mapping[str, list[str]]) -> str:
    """A line for each parameter that has a value."""
    return "".join(f"{name}: {', '.join(values)}\n" for name, values in sorted(parameters.items()) if values)


def _read(text: str) -> Any:
    """A value as Go prints it."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        return GO_ESCAPE.sub(_unescaped, text[1:-1])
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _unescaped(match: re.Match[str]) -> str:
    digits = match["byte"] or match["short"] or match["long"]
    return chr(int(digits, 16)) if digits else GO_LETTERS.get(match["letter"], match["letter"])


def _value(value: Any) -> str:
    """A value in one spelling: Ollama keeps every number as a float64, so that 1 and 1.0 are the same."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        value = int(float(value)) if float(value).is_integer() else value
    return json.dumps(value)
