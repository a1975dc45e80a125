# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""With which settings does an engine run? From a process' environment and Ollama's own log line to names and values.

Source: envconfig/config.go and routes.go of Ollama v0.24.0 and v0.33.0; the line was recorded from both.
"""

from __future__ import annotations

import json
import re
from typing import Iterable, Iterator, Mapping

from .engine_variables import decides_memory

# Only what decides how an engine uses memory and devices is ever read on; a proxy's password, for one, is not.
KEPT = re.compile(r"(?:OLLAMA_|LLAMA_ARG_|GGML_)[A-Z0-9_]+|CUDA_VISIBLE_DEVICES|ROCR_VISIBLE_DEVICES|HSA_OVERRIDE_GFX_VERSION")
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL")
IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]+@")
CONFIGURED = re.compile(r'msg="server config" env="((?:[^"\\]|\\.)*)"')
NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*):(.*)", re.DOTALL)
DURATIONS = frozenset({"OLLAMA_KEEP_ALIVE", "OLLAMA_LOAD_TIMEOUT"})
SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
# What Go has for no end at all: 2^63 - 1 nanoseconds.
ENDLESS_S = 2562047 * 3600.0
TRUE = frozenset({"1", "t", "true"})
FALSE = frozenset({"0", "f", "false"})


def kept(pairs: Mapping[str, str]) -> dict[str, str]:
    """The names that may be shown, sorted; names and password of an address are taken out."""
    names = sorted(name for name in pairs if KEPT.fullmatch(name) and not SECRET.search(name))
    return {name: IN_ADDRESS.sub("", pairs[name]) for name in names}


def parse_environ(content: bytes) -> dict[str, str]:
    """The variables of /proc/PID/environ (proc(5): NAME=value, each ended by a zero byte) that may be shown."""
    pairs = (entry.partition("=") for entry in content.decode("utf-8", "replace").split("\0"))
    return kept({name: value for name, equals, value in pairs if equals})


def parse_server_config(line: str) -> dict[str, str] | None:
    """The settings in Ollama's line ``msg="server config" env="map[…]"`` that may be shown; None for any other line.

    Go writes a map as ``map[NAME:value NAME:value]`` and a list as ``[a b]``: what stands in brackets is one value.
    """
    found = CONFIGURED.search(line)
    text = _unquoted(found[1]) if found else ""
    if not text.startswith("map[") or not text.endswith("]"):
        return None
    pairs: dict[str, str] = {}
    last = None
    for word in _words(text[len("map[") : -1]):
        named = NAME.fullmatch(word)
        if named:
            last = named[1]
            pairs[last] = named[2]
        elif last:
            pairs[last] += f" {word}"
    return kept(pairs)


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text


def _words(text: str) -> Iterator[str]:
    """The parts between spaces that are in no brackets."""
    depth, begin = 0, 0
    for place, sign in enumerate(text):
        depth += (sign == "[") - (sign == "]")
        if sign == " " and depth <= 0:
            yield text[begin:place]
            begin = place + 1
    yield text[begin:]


def duration_s(text: str) -> float | None:
    """A duration as Ollama reads it: Go's ``1h2m3.5s`` or seconds; negative or Go's longest is endless. None for other texts."""
    seconds = _number(text)
    if seconds is None:
        parts = re.findall(r"([0-9.]+)(h|ms|us|µs|ns|m|s)", text)
        if not parts or "".join(number + unit for number, unit in parts) != text.lstrip("+-"):
            return None
        seconds = sum((_number(number) or 0.0) * SECONDS[unit] for number, unit in parts)
        seconds = -seconds if text.startswith("-") else seconds
    return float("inf") if seconds < 0 or seconds >= ENDLESS_S else seconds


def _number(text: str) -> float | None:
    try:
        return float(text) if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?|[+-]?\.[0-9]+", text.strip()) else None
    except ValueError:
        return None


def same(name: str, wanted: str, shown: str) -> bool:
    """Whether a running server that shows a value has the one that is wanted, in whatever spelling of the two."""
    wanted, shown = wanted.strip(), shown.strip()
    if name in DURATIONS:
        planned = duration_s(wanted)
        return planned is not None and planned == duration_s(shown)
    words = wanted.lower(), shown.lower()
    if words[1] in ("true", "false"):
        return words[0] in (TRUE if words[1] == "true" else FALSE)
    numbers = _number(wanted), _number(shown)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return words[0] == words[1]


def settings_findings(
    wanted: Mapping[str, str], environment: Mapping[str, str] | None, effective: Mapping[str, str] | None
) -> list[str]:
    """What a running server does not have as planned, one sentence each.

    ``effective``: what it logged when it started, ``environment``: of its process; None where that is not known. What neither
    can tell is passed over. A variable that decides memory and is not planned has to be unset.
    """
    found = []
    for name, value in wanted.items():
        shown = (effective or {}).get(name)
        shown = (environment or {}).get(name) if shown is None else shown
        if shown is None and environment is not None:
            found.append(f"{name} is not set in the running server, planned is {value}; start it again with its new settings")
        elif shown is not None and not same(name, str(value), shown):
            told = shown or "empty"
            found.append(f"{name} is {told} in the running server, planned is {value}; start it again with its new settings")
    added = [name for name in sorted(environment or {}) if name not in wanted and decides_memory(name)]
    return found + [f"{name} is set in the running server, planned is unset; take it out and start it again" for name in added]


def untold(wanted: Iterable[str], environment: Mapping[str, str] | None, effective: Mapping[str, str] | None) -> list[str]:
    """The names that ``settings_findings`` passes over."""
    return sorted(set(wanted).difference(effective or ())) if environment is None else []
