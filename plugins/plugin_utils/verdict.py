"""The verdict of a sample from its receipts: was the engine warm, and does the sample prove it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..module_utils.residency import full_name, restarted
from .metrics import cached_tokens, count

# Cached tokens beyond the template's own prefix that still count as an uncached prompt (shared first words, rounding).
CACHED_TOKENS_SLACK = 32
# No tokenizer packs more characters of prose into one token on average; bounds the template prefix from above.
CHARACTERS_PER_TOKEN_MOST = 8
# A prompt that begins with a new nonce leaves more than this uncached whatever the tokenizer.
UNCACHED_TOKENS_LEAST = 4

Receipt = dict[str, Any]


def template_prefix_tokens(warm_up: Mapping[str, Any] | None, prompt_characters: int) -> int | None:
    """Tokens of the chat template before the user's words, from the second of two warm-ups with different nonces."""
    if warm_up is None:
        return None
    cached = cached_tokens(warm_up["usage"], warm_up["timings"])
    prompt = count((warm_up["usage"] or {}).get("prompt_tokens"))
    if cached is None or prompt is None:
        return cached
    return max(0, min(cached, prompt - prompt_characters // CHARACTERS_PER_TOKEN_MOST))


def judge(
    record: Mapping[str, Any], warm_up: Receipt | None, before: Receipt, after: Receipt, prefix_tokens: int | None
) -> tuple[str, list[str]]:
    """Verdict and its evidence. ``warm_up`` is the receipt taken after the warm-up that this sample relies on."""
    if record["error"]:
        return "failed", [f"{record['error']['kind']}: {record['error']['message']}"]
    cold = cold_signs(warm_up, before)
    if cold:
        return "cold", cold
    changed = changes(before, after)
    if changed:
        return "evicted", changed
    cached = cache_signs(record, prefix_tokens)
    if cached:
        return "cache_hit", cached
    return "warm", [warm_proof(before)]


def warm_proof(before: Receipt) -> str:
    """What a warm verdict rests on."""
    if before["resident"] is None:
        return "warmed up right before; the engine does not tell what is loaded"
    return "resident before and after, by the engine's own word"


def cold_signs(warm_up: Receipt | None, before: Receipt) -> list[str]:
    """Why the model may not have been warm when the sample began."""
    if before["error"]:
        return [f"no receipt before the sample: {before['error']['message']}"]
    if before["resident"] is False:
        return ["the engine did not have the model loaded before the sample"]
    if warm_up is None:
        return ["no warm-up came before the sample"]
    if restarted(warm_up, before):
        return ["the engine was started again between the warm-up and the sample"]
    return []


def changes(before: Receipt, after: Receipt) -> list[str]:
    """How the residents changed while the sample ran."""
    if after["error"]:
        return [f"no receipt after the sample: {after['error']['message']}"]
    found = []
    if restarted(before, after):
        found.append("the engine was started again during the sample")
    if before["resident"] is not None:
        found += resident_changes(before, after)
    return found


def resident_changes(before: Receipt, after: Receipt) -> list[str]:
    """Differences between two lists of loaded models: names, digests and contexts."""
    earlier, later = loaded(before), loaded(after)
    found = [f"{name} was loaded before the sample and not after it" for name in earlier if name not in later]
    found += [f"{name} was loaded during the sample" for name in later if name not in earlier]
    for name in earlier:
        for field in ("digest", "context_tokens"):
            if name in later and earlier[name][field] != later[name][field]:
                found.append(f"{name}: {field} changed from {earlier[name][field]} to {later[name][field]}")
    return found


def loaded(receipt: Receipt) -> dict[str, Mapping[str, Any]]:
    """The loaded models of a receipt by name."""
    return {full_name(str(model["name"])): model for model in receipt["models"]}


def cache_signs(record: Mapping[str, Any], prefix_tokens: int | None) -> list[str]:
    """Why the prompt was not computed in full; empty where it was, or where the engine does not say."""
    cached = cached_tokens(record["usage"], record["timings"])
    if cached is None:
        return []
    prompt = count((record["usage"] or {}).get("prompt_tokens"))
    allowed = (prefix_tokens or 0) + CACHED_TOKENS_SLACK
    if cached > allowed:
        return [f"{cached} prompt tokens came from a cache; at most {allowed} (template prefix + {CACHED_TOKENS_SLACK}) may"]
    if prompt is not None and cached > 0 and prompt - cached < UNCACHED_TOKENS_LEAST:
        return [f"{cached} of {prompt} prompt tokens came from a cache: the whole prompt"]
    return []
