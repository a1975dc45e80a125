"""Order of deployments in a group, and groups without one."""

from __future__ import annotations

from typing import Any

from tests.rules.hosts import BROKEN, GONE, UP
from tests.rules.releases import Seen
from tests.rules.rows import Row, asked, chat, config, not_asked, ollama, openai, some_failed, until

# Half of so many requests never all go to one of two hosts by chance.
MANY = 20
CHECKED = {"enable_pre_call_checks": True}
NO_REST = {**CHECKED, "disable_cooldowns": True, "num_retries": 0}


def two(first: Any = 1, second: Any = 2, **router: Any) -> str:
    return config([openai("g", "a", order=first), openai("g", "b", order=second)], router=router)


def beside(**router: Any) -> str:
    """The order stands beside litellm_params."""
    return config([{**openai("g", "a"), "order": 1}, {**openai("g", "b"), "order": 2}], router={**CHECKED, **router})


def in_info() -> str:
    return config([openai("g", "a", model_info={"order": 1}), openai("g", "b", model_info={"order": 2})], router=CHECKED)


def weighted(strategy: str) -> str:
    router = {"num_retries": 0, "enable_weighted_failover": True, "routing_strategy": strategy}
    return config([ollama("g", "a"), ollama("g", "b")], router=router)


def equal(first: int | None, second: int | None, chain: dict[str, list[str]] | None = None) -> str:
    entries = [ollama("g", "a", order=first), ollama("g", "b", order=second), ollama("h", "c")]
    return config(entries, router={"num_retries": 0, "fallbacks": [chain] if chain else []})


def shares(beside: bool) -> str:
    """Nothing for b."""
    if beside:
        return config([{**openai("g", "a"), "weight": 1}, {**openai("g", "b"), "weight": 0}])
    return config([openai("g", "a", weight=1), openai("g", "b", weight=0)])


def goes_wrong(seen: Seen) -> bool:
    """Some fail, or the host of the second order is asked."""
    return some_failed(seen) or seen.hosts["b"] > 0


ROWS = [
    Row("order-ignored", two(), two(**CHECKED), (chat("g", MANY),), asked("b"), until("1.82.6")),
    *(
        Row("order-ignored", two(routing_strategy=strategy), two(routing_strategy=strategy, **CHECKED), (chat("g", MANY),),
            asked("b"), until("1.82.6"), case=strategy)
        for strategy in ("latency-based-routing", "least-busy", "usage-based-routing-v2")
    ),
    Row("order-type", two(1, "2", **CHECKED), two(1, 2, **CHECKED), (chat("g", 3),), some_failed, case="mixed"),
    Row("order-type", two("10", "9", **CHECKED), two(10, 9, **CHECKED), (chat("g", 5),), asked("a"), case="text"),
    Row("order-partial", two(1, None, **NO_REST), two(1, 2, **NO_REST), (chat("g", MANY),), not_asked("b"),
        hosts={"a": BROKEN, "b": UP}, right_from="1.83.14"),
    Row("order-misplaced", beside(), two(**CHECKED), (chat("g", MANY),), asked("b"), case="beside"),
    Row("order-misplaced", beside(), in_info(), (chat("g", MANY),), asked("b"), case="model-info", right_from="1.83.14"),
    Row("unordered-no-failover",
        config([ollama("g", "a"), ollama("g", "b")], router={"num_retries": 0}),
        config([ollama("g", "a", order=1), ollama("g", "b", order=2)], router={"num_retries": 0}),
        (chat("g", MANY),), some_failed, hosts={"a": GONE, "b": UP}, right_from="1.83.14"),
    Row("unordered-no-failover",
        config([ollama("g", "a"), ollama("g", "b")], router={"num_retries": 0}),
        config([ollama("g", "a"), ollama("g", "b")], router={"num_retries": 0, "enable_weighted_failover": True}),
        (chat("g", MANY),), some_failed, hosts={"a": GONE, "b": UP}, right_from="1.98.1", case="weighted"),
    # Weighted failover is one of simple-shuffle alone; where the right file is right, the wrong one differs in the strategy.
    Row("unordered-no-failover", weighted("latency-based-routing"), weighted("simple-shuffle"), (chat("g", MANY),), some_failed,
        hosts={"a": GONE, "b": UP}, right_from="1.98.1", case="weighted-latency"),
    Row("unordered-no-failover", equal(1, 1), equal(1, 2), (chat("g", MANY),), some_failed, hosts={"a": GONE, "b": UP},
        right_from="1.83.14", case="equal"),
    Row("unordered-no-failover", equal(None, None), equal(None, None, {"g": ["h"]}), (chat("g", MANY),), some_failed,
        hosts={"a": GONE, "b": UP, "c": UP}, case="chained"),
    Row("order-type", two(1, "2", **CHECKED), two(1.0, 1.5, **CHECKED), (chat("g", MANY),), goes_wrong, case="fraction"),
    Row("order-type", two(1, "2", **CHECKED), two("1", "2", **CHECKED), (chat("g", MANY),), goes_wrong, case="all-text"),
    Row("parameter-misplaced", shares(beside=True), shares(beside=False), (chat("g", 2 * MANY),), asked("b"), case="weight"),
]  # fmt: skip
