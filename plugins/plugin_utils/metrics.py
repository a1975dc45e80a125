"""Metrics of one sample and statistics of many. Pure: samples (plain dicts) in, plain numbers out; unknown is None."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

VERDICTS = ("warm", "cold", "evicted", "spilled", "throttled", "cache_hit", "noisy", "failed")
# Only these enter a median; every other verdict is kept, counted and shown.
COUNTED_VERDICT = "warm"
# What a table and a report show of a case, with units.
MEASURED = (
    "e2e_s",
    "ttft_s",
    "ttfa_s",
    "decode_tokens_per_s",
    "prefill_tokens_per_s",
    "prompt_tokens",
    "completion_tokens",
    "content_characters",
    "reasoning_characters",
    "reasoning_share",
    "dimension",
)


def count(value: Any) -> int | None:
    """A token count from an engine: a whole number that is not negative, else unknown."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def number(value: Any) -> float | None:
    """A finite number from an engine, else unknown."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


def cached_tokens(usage: Mapping[str, Any] | None, timings: Mapping[str, Any] | None) -> int | None:
    """Prompt tokens that came from a cache, by usage or by llama.cpp's timings."""
    details = (usage or {}).get("prompt_tokens_details")
    told = count(details.get("cached_tokens")) if isinstance(details, Mapping) else None
    return told if told is not None else count((timings or {}).get("cache_n"))


def reasoning_tokens(usage: Mapping[str, Any] | None) -> int | None:
    """Tokens spent on reasoning where the engine counts them apart."""
    details = (usage or {}).get("completion_tokens_details")
    return count(details.get("reasoning_tokens")) if isinstance(details, Mapping) else None


def sample_metrics(sample: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of one sample.

    Seconds count from just before the request was written. ``e2e_s`` ends at the last token (an embedding: at the end
    of the reply), ``stream_end_s`` at the end of the body; ``decode_tokens_per_s`` is (N-1)/(last-first) with N from
    usage. ``reasoning_share`` is by tokens where the engine counts them, else by characters (``reasoning_basis``).
    """
    times, usage, timings = sample["times"], sample["usage"], sample["timings"]
    completion = count((usage or {}).get("completion_tokens")) if sample["mode"] == "chat" else None
    prompt = count((usage or {}).get("prompt_tokens"))
    cached = cached_tokens(usage, timings)
    end_ns = times["last_token_ns"] if sample["mode"] == "chat" else times["end_ns"]
    share, basis = reasoning_share(sample, completion)
    return {
        "e2e_s": in_seconds(end_ns) if sample["error"] is None else None,
        "ttft_s": in_seconds(times["first_token_ns"]),
        "ttfa_s": in_seconds(times["first_answer_ns"]),
        "stream_end_s": in_seconds(times["end_ns"]),
        "decode_tokens_per_s": decode_rate(completion, times["first_token_ns"], times["last_token_ns"]),
        "prefill_tokens_per_s": prefill_rate(prompt, cached, timings, times["first_token_ns"]),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cached_tokens": cached,
        "reasoning_tokens": reasoning_tokens(usage),
        "reasoning_share": share,
        "reasoning_basis": basis,
        "content_characters": length(sample["content"]),
        "reasoning_characters": length(sample["reasoning"]),
        "dimension": sample["dimension"],
        "finish_reason": sample["finish_reason"],
    }


def in_seconds(nanoseconds: int | None) -> float | None:
    """Nanoseconds as seconds."""
    return None if nanoseconds is None else nanoseconds / 1e9


def length(text: str | None) -> int | None:
    """Characters of a text that may be unknown."""
    return None if text is None else len(text)


def decode_rate(completion: int | None, first_ns: int | None, last_ns: int | None) -> float | None:
    """Tokens per second between first and last token; unknown for fewer than two tokens or no time between them."""
    if completion is None or completion < 2 or first_ns is None or last_ns is None or last_ns <= first_ns:
        return None
    return (completion - 1) / ((last_ns - first_ns) / 1e9)


def prefill_rate(prompt: int | None, cached: int | None, timings: Mapping[str, Any] | None, first_ns: int | None) -> float | None:
    """Prompt tokens computed per second: by the engine's own timing where given, else up to the first token."""
    own_tokens, own_ms = count((timings or {}).get("prompt_n")), number((timings or {}).get("prompt_ms"))
    if own_tokens and own_ms and own_ms > 0:
        return own_tokens / (own_ms / 1e3)
    if prompt is None or not first_ns or prompt - (cached or 0) <= 0:
        return None
    return (prompt - (cached or 0)) / (first_ns / 1e9)


def reasoning_share(sample: Mapping[str, Any], completion: int | None) -> tuple[float | None, str | None]:
    """Reasoning's part of the output and what it was counted in."""
    tokens = reasoning_tokens(sample["usage"])
    if tokens is not None and completion:
        return min(tokens / completion, 1.0), "tokens"
    content, reasoning = length(sample["content"]), length(sample["reasoning"])
    if content is None or reasoning is None or content + reasoning == 0:
        return None, None
    return reasoning / (content + reasoning), "characters"


def median_of(values: Sequence[float]) -> dict[str, Any]:
    """Median with its min-max interval and the probability that the interval covers the true median.

    Of n independent samples all lie on one side of the median with probability 2^(1-n); fewer than two give no interval.
    """
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        return {"n": 0, "median": None, "low": None, "high": None, "coverage": None}
    interval = (ordered[0], ordered[-1], 1 - 2.0 ** (1 - n)) if n > 1 else (None, None, None)
    return {
        "n": n,
        "median": statistics.median(ordered),
        "low": interval[0],
        "high": interval[1],
        "coverage": interval[2],
    }


def case_statistics(samples: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Statistics of one case's samples: only warm ones are counted, the others are named with their number.

    Returns attempts, n, dropped, verdicts (counts), metrics (name -> median_of), finish_reasons (counts), errors (counts).
    """
    every = list(samples)
    warm = [sample_metrics(sample) for sample in every if sample["verdict"] == COUNTED_VERDICT]
    verdicts = Counter(sample["verdict"] for sample in every)
    return {
        "attempts": len(every),
        "n": len(warm),
        "dropped": len(every) - len(warm),
        "verdicts": {verdict: verdicts[verdict] for verdict in VERDICTS if verdicts[verdict]},
        "metrics": {name: median_of([row[name] for row in warm if row[name] is not None]) for name in MEASURED},
        "finish_reasons": dict(Counter(row["finish_reason"] for row in warm if row["finish_reason"] is not None)),
        "errors": dict(Counter(sample["error"]["kind"] for sample in every if sample["error"])),
    }


def nearest_rank(values: Sequence[float], percentile: float) -> float | None:
    """The smallest value that at least ``percentile`` percent of the values do not exceed."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percentile / 100 * len(ordered)) - 1)]


# Of these more is better; an objective on any other metric is an upper limit.
RATES = frozenset({"decode_tokens_per_s", "prefill_tokens_per_s"})


def objective_result(objective: Mapping[str, Any] | None, samples: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What the warm samples say about an objective {metric, percentile, limit}.

    Returns it with ``value``, ``n`` and ``met`` (None where nothing was measured); None where there is no objective.
    The 50th percentile is the median.
    """
    if not objective:
        return None
    metric, percentile = objective["metric"], objective.get("percentile") or 50
    rows = [sample_metrics(sample) for sample in samples if sample["verdict"] == COUNTED_VERDICT]
    values = [row[metric] for row in rows if row.get(metric) is not None]
    ranked = nearest_rank(values, 100 - percentile if metric in RATES else percentile)
    value = (statistics.median(values) if values else None) if percentile == 50 else ranked
    met = None
    if value is not None:
        met = value >= objective["limit"] if metric in RATES else value <= objective["limit"]
    return {**objective, "percentile": percentile, "value": value, "n": len(values), "met": met}
