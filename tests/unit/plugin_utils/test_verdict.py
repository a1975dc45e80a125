"""The verdict of a sample follows from its receipts and its cached tokens, and says why."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.plugin_utils.verdict import judge, template_prefix_tokens
from tests.unit.benchmarks import failed, receipt, sample

MODEL = receipt()["models"][0]


def ollama(*names: str, **facts: Any) -> dict[str, Any]:
    models = [{**MODEL, "name": name, "digest": f"d-{name}"} for name in names]
    return receipt(engine="ollama", instance=None, models=models, resident="m:latest" in names, **facts)


def changed(**facts: Any) -> dict[str, Any]:
    return receipt(models=[{**MODEL, **facts}])


GONE = receipt(error=failed(), resident=None, models=[])
EXTERNAL = receipt(engine="external", resident=None, instance=None)
COUNTED = receipt(instance=None, counters={"llamacpp:n_decode_total": 10.0})
RECOUNTED = receipt(instance=None, counters={"llamacpp:n_decode_total": 3.0})
OTHER = receipt(instance="life-2")
# warm-up receipt, before, after, verdict, a word of its evidence
RECEIPTS = [
    (receipt(), receipt(), receipt(), "warm", "resident before and after"),
    (receipt(), OTHER, OTHER, "cold", "started again between the warm-up"),
    (COUNTED, RECOUNTED, RECOUNTED, "cold", "started again"),
    (None, receipt(), receipt(), "cold", "no warm-up"),
    (receipt(), GONE, receipt(), "cold", "no receipt before"),
    (receipt(), receipt(resident=False), receipt(), "cold", "did not have the model"),
    (receipt(), receipt(), OTHER, "evicted", "during the sample"),
    (COUNTED, COUNTED, RECOUNTED, "evicted", "during the sample"),
    (receipt(), receipt(), GONE, "evicted", "no receipt after"),
    (receipt(), receipt(), changed(context_tokens=512), "evicted", "context_tokens changed from 4096 to 512"),
    (receipt(), receipt(), changed(digest="new"), "evicted", "digest changed"),
    (ollama("m:latest"), ollama("m:latest"), ollama("m:latest"), "warm", "own word"),
    (ollama("m:latest", "x:1"), ollama("m:latest", "x:1"), ollama("m:latest"), "evicted", "x:1 was loaded before"),
    (ollama("m:latest"), ollama("m:latest"), ollama("m:latest", "x:1"), "evicted", "x:1 was loaded during"),
    (ollama("m:latest"), ollama("x:1"), ollama("m:latest"), "cold", "did not have the model"),
    (ollama("m:latest"), ollama("m:latest"), ollama(), "evicted", "m:latest was loaded before"),
    (EXTERNAL, EXTERNAL, receipt(engine="external", resident=None, instance=None, models=[]), "warm", "does not tell"),
]


@pytest.mark.parametrize(("warm_up", "before", "after", "verdict", "words"), RECEIPTS)
def test_receipts_decide(warm_up, before, after, verdict, words) -> None:
    found, evidence = judge(sample(), warm_up, before, after, 10)
    assert found == verdict
    assert words in "; ".join(evidence)


@pytest.mark.parametrize(("warm_up", "before", "after"), [row[:3] for row in RECEIPTS])
def test_an_error_is_a_failure_whatever_the_receipts_say(warm_up, before, after) -> None:
    assert judge(sample(error=failed("timeout", "late")), warm_up, before, after, 10) == ("failed", ["timeout: late"])


# cached, prompt tokens, template prefix -> verdict
CACHES = [
    (24, 637, 24, "warm"),
    (56, 637, 24, "warm"),
    (57, 637, 24, "cache_hit"),
    (636, 637, 24, "cache_hit"),
    (0, 637, None, "warm"),
    (32, 637, None, "warm"),
    (33, 637, None, "cache_hit"),
    (None, 637, 24, "warm"),
    # A prompt so short that the slack would cover it: all of it cached is a hit all the same.
    (39, 40, 24, "cache_hit"),
    (37, 40, 24, "cache_hit"),
    (36, 40, 24, "warm"),
    (0, 3, 0, "warm"),
]


@pytest.mark.parametrize(("cached", "prompt", "prefix", "verdict"), CACHES)
def test_a_cached_prompt_is_no_warm_sample(cached, prompt, prefix, verdict) -> None:
    details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
    record = sample(usage={"prompt_tokens": prompt, "completion_tokens": 5, **details})
    assert judge(record, receipt(), receipt(), receipt(), prefix)[0] == verdict


@pytest.mark.parametrize(
    ("cached", "prompt", "characters", "expected"),
    [(24, 60, 100, 24), (None, 60, 100, None), (24, None, 100, 24), (600, 637, 2500, 325), (50, 40, 400, 0)],
)
def test_the_template_prefix_is_bounded_by_the_prompt_itself(cached, prompt, characters, expected) -> None:
    usage = {"prompt_tokens": prompt, "prompt_tokens_details": {"cached_tokens": cached}}
    assert template_prefix_tokens({"usage": usage, "timings": None}, characters) == expected


def test_no_warm_up_no_prefix() -> None:
    assert template_prefix_tokens(None, 100) is None
