# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is what an Ollama has loaded the resident set that was planned? From receipts to sentences; asks nobody.

A receipt is what ``resident_engine.look`` returns: ``models`` (what /api/ps says) and ``installed`` (what /api/tags says).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Sequence

from .residency import full_name

# keep_alive -1 becomes a date in the year 2319, any real timer ends sooner (server/routes.go of Ollama v0.24.0 and v0.33.0).
FOREVER_YEAR = 2100
# The parts of a name that Ollama fills in (types/model/name.go); names are compared without regard to case there.
DEFAULTS = ("registry.ollama.ai/library/", "registry.ollama.ai/", "library/")
DIGEST_SHOWN = 12
# What a request to load puts right, and what only unloading and loading in order does.
LOADS = frozenset({"missing", "digest", "context", "keep_alive"})
ORDERED = frozenset({"missing", "digest", "context", "split"})
Receipt = Mapping[str, Any]


@dataclass(frozen=True)
class Expected:
    """One model that is to stay. ``context_tokens``, ``digest`` None: nothing is expected of it.

    ``digest``: sha256 of the manifest, hex. ``full_offload``: all of it lies in the accelerators' memory. ``load_order``: 1 is
    loaded first.
    """

    name: str
    mode: str = "chat"
    context_tokens: int | None = None
    full_offload: bool = False
    digest: str | None = None
    load_order: int = 1


@dataclass(frozen=True)
class Finding:
    """What is wrong with one model. ``text`` goes on after the model's name."""

    model: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.model} {self.text}"


def expected_models(entries: Any) -> list[Expected]:
    """The set in the order of loading, from plain data. Raises ValueError that names the entry, what was got and expected."""
    if not isinstance(entries, list):
        raise ValueError(f"models: got {type(entries).__name__}, expected a list")
    found = [_expected(number, entry) for number, entry in enumerate(entries)]
    names = [comparable(model.name) for model in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"models: {', '.join(twice)} more than once, expected each name once")
    return sorted(found, key=lambda model: (model.load_order, model.name))


def _expected(number: int, entry: Any) -> Expected:
    where = f"models[{number}]"
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
        raise ValueError(f"{where}: got {entry!r}, expected a mapping with a name")
    kinds = {"mode": str, "context_tokens": int, "full_offload": bool, "digest": str, "load_order": int}
    given = {key: entry[key] for key in kinds if entry.get(key) is not None}
    for key, value in given.items():
        if not isinstance(value, kinds[key]) or (kinds[key] is int and isinstance(value, bool)):
            raise ValueError(f"{where}.{key}: got {value!r}, expected {kinds[key].__name__}")
    if given.get("mode", "chat") not in ("chat", "embedding"):
        raise ValueError(f"{where}.mode: got {given['mode']!r}, expected chat or embedding")
    if "digest" in given:
        given["digest"] = plain_digest(given["digest"])
        if not re.fullmatch("[0-9a-f]{64}", given["digest"]):
            raise ValueError(f"{where}.digest: got {entry['digest']!r}, expected 64 hexadecimal digits")
    return Expected(entry["name"], **given)


def comparable(name: str) -> str:
    """A name as it is compared: with its tag, without what Ollama fills in, in lower case."""
    lowered = full_name(name).lower()
    return next((lowered[len(start) :] for start in DEFAULTS if lowered.startswith(start)), lowered)


def plain_digest(text: str) -> str:
    """A digest without ``sha256:``."""
    return text.lower().partition("sha256:")[2] or text.lower()


def for_ever(expires_at: str | None) -> bool | None:
    """Whether a model stays without requests; None where the engine does not say until when."""
    year = (expires_at or "")[:4]
    return int(year) >= FOREVER_YEAR if year.isdigit() else None


def on_disk(receipt: Receipt, name: str) -> Mapping[str, Any] | None:
    """The engine's entry of a model in its store; None where there is none, or the engine does not tell."""
    return next((item for item in receipt.get("installed") or () if comparable(item["name"]) == comparable(name)), None)


def loaded_as(model: Expected, receipt: Receipt) -> list[Mapping[str, Any]]:
    """What is loaded for a model, the right one first: by name, and by the digest that its name has on disk.

    A copy of a name has the same digest, and whoever loaded the file gives the name that is shown.
    """
    stored = on_disk(receipt, model.name)
    digest = (stored or {}).get("digest") or model.digest
    found = [
        item
        for item in receipt["models"]
        if comparable(item["name"]) == comparable(model.name) or (digest and item["digest"] == digest)
    ]
    return sorted(found, key=lambda item: (item["digest"] != digest, comparable(item["name"]) != comparable(model.name)))


def findings(expected: Sequence[Expected], receipt: Receipt) -> list[Finding]:
    """Everything that is not as planned, model by model in the order of loading. Empty: the set is resident.

    The receipt must have no error. What nobody planned is no finding: see ``foreign``.
    """
    return [finding for model in expected for finding in model_findings(model, receipt)]


def model_findings(model: Expected, receipt: Receipt) -> list[Finding]:
    """What is not as planned with one model."""
    return [Finding(model.name, kind, text) for kind, text in _wrong(model, receipt)]


def _wrong(model: Expected, receipt: Receipt) -> Iterator[tuple[str, str]]:
    stored = on_disk(receipt, model.name)
    if receipt.get("installed") is not None and stored is None:
        yield "absent", "is not in the engine's store; pull or create it"
        return
    digest = (stored or {}).get("digest")
    if model.digest and digest and digest != model.digest:
        yield "pin", f"is digest {digest[:DIGEST_SHOWN]} on disk, pinned is {model.digest[:DIGEST_SHOWN]}; pull the pinned one"
    found = loaded_as(model, receipt)
    if not found:
        yield "missing", "is not loaded"
        return
    yield from _identity(model, digest or model.digest, found)
    yield from _extent(model, found[0], trained_tokens(stored))


def _identity(model: Expected, digest: str | None, found: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    loaded = found[0]["digest"]
    if digest and loaded and loaded != digest:
        yield "digest", f"is loaded with digest {loaded[:DIGEST_SHOWN]}, the store has {digest[:DIGEST_SHOWN]}"
        return
    older = [item for item in found[1:] if item["digest"] != loaded and comparable(item["name"]) == comparable(model.name)]
    if older:
        yield (
            "twice",
            f"is loaded twice, also with the older digest {str(older[0]['digest'])[:DIGEST_SHOWN]}, which takes memory until the "
            "engine is started again",
        )


def _extent(model: Expected, loaded: Mapping[str, Any], trained: int | None) -> Iterator[tuple[str, str]]:
    wanted, context = model.context_tokens, loaded["context_tokens"]
    # The engine clips a context to the one that the model was trained with (llm/server.go of v0.24.0 and v0.33.0).
    wanted = min(wanted, trained) if wanted and trained else wanted
    if wanted and context is None:
        yield "untold", "has a context that the engine does not tell (Ollama tells it since v0.9.7)"
    elif wanted and context != wanted:
        yield "context", f"has a context of {context} tokens, planned are {wanted}"
    stays = for_ever(loaded["expires_at"])
    if stays is None:
        yield "untold", "has a keep-alive that the engine does not tell"
    elif not stays:
        yield "keep_alive", f"is kept until {loaded['expires_at'][:19]} only, planned is for ever"
    size, in_gpu = loaded["size_bytes"], loaded["size_vram_bytes"]
    if model.full_offload and (size is None or in_gpu is None):
        yield "untold", "has a size or a share of GPU memory that the engine does not tell"
    elif model.full_offload and in_gpu < size:
        yield "split", f"has {in_gpu} of {size} bytes in GPU memory, planned are all of them"


def trained_tokens(stored: Mapping[str, Any] | None) -> int | None:
    """The context that a model was trained with, None where the engine does not tell."""
    value = (stored or {}).get("trained_context_tokens")
    return value if isinstance(value, int) else None


def foreign(expected: Sequence[Expected], receipt: Receipt) -> list[Mapping[str, Any]]:
    """What is loaded and nobody planned, as the receipt has it."""
    planned = [item for model in expected for item in loaded_as(model, receipt)]
    return [item for item in receipt["models"] if not any(item is other for other in planned)]


def replaced(expected: Sequence[Expected], receipt: Receipt) -> list[str]:
    """Planned names under which something is loaded that the store no longer has under them: the model was pulled or made anew.

    The engine unloads by file, and of the old file nobody has a name: only a new start is sure to unload it.
    """
    stored = {model.name: (on_disk(receipt, model.name) or {}).get("digest") for model in expected}
    loaded = {(comparable(item["name"]), item["digest"]) for item in receipt["models"]}
    return [
        name
        for name, digest in stored.items()
        if digest and any(n == comparable(name) and d not in (None, digest) for n, d in loaded)
    ]


def to_load(expected: Sequence[Expected], receipt: Receipt, left_alone: frozenset[str] = frozenset()) -> list[Expected]:
    """Models that a request to load would put right, in the order of loading."""
    return _with(expected, receipt, LOADS, left_alone)


def to_reorder(expected: Sequence[Expected], receipt: Receipt, left_alone: frozenset[str] = frozenset()) -> list[Expected]:
    """Models of which loading in order may put right what a single request did not."""
    return _with(expected, receipt, ORDERED, left_alone)


def _with(expected: Sequence[Expected], receipt: Receipt, kinds: frozenset[str], left_alone: frozenset[str]) -> list[Expected]:
    wrong = {finding.model for finding in findings(expected, receipt) if finding.kind in kinds} - left_alone
    return [model for model in expected if model.name in wrong]
