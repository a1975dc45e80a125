"""Fallbacks: how they are keyed, what they lead to, how deep they go, what stands before them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from tests.rules.hosts import BROKEN, GONE, UP
from tests.rules.releases import Seen
from tests.rules.rows import (
    Row,
    all_failed,
    asked,
    chat,
    config,
    deployment,
    embed,
    not_asked,
    ollama,
    openai,
    since,
    some_failed,
)

ALIAS = {"model_group_alias": {"x": "g"}}
BOTH = [{"g": ["h"]}, {"x": ["h"]}]
A_GONE = {"a": GONE, "b": UP}
CHAIN = [f"g{number}" for number in range(1, 8)]


def falls(fallbacks: list[dict[str, list[str]]], retries: int | float | str = 0, **router: Any) -> str:
    """g on host a, h on host b."""
    return config([openai("g", "a"), openai("h", "b")], router={"num_retries": retries, "fallbacks": fallbacks, **router})


def three(fallbacks: list[dict[str, list[str]]], **litellm: Any) -> str:
    entries = [openai("g", "a"), openai("h", "b"), openai("k", "c")]
    return config(entries, router={"num_retries": 0, "fallbacks": fallbacks}, litellm=litellm)


def chain(fallbacks: list[dict[str, list[str]]]) -> str:
    entries = [openai(name, "b" if name == CHAIN[-1] else "a") for name in CHAIN]
    return config(entries, router={"num_retries": 0, "fallbacks": fallbacks})


def levels(most: int) -> str:
    """g is down, and so is the first level of h."""
    entries = [openai("g", "a"), openai("h", "c", order=1), openai("h", "b", order=2)]
    return config(entries, router={"num_retries": 0, "max_fallbacks": most, "fallbacks": [{"g": ["h"]}]})


def carried(*second: dict[str, Any]) -> str:
    """Both levels of g are down; k has its first level on c, and what else is given."""
    entries = [openai("g", "a", order=1), openai("g", "b", order=2), openai("k", "c", order=1), *second]
    # 1.82.6 looks at order with pre-call checks only.
    return config(entries, router={"num_retries": 0, "enable_pre_call_checks": True, "fallbacks": [{"g": ["k"]}]})


def vectors(target: dict[str, Any]) -> str:
    entries = [openai("vectors", "a", model_info={"mode": "embedding"}), target]
    return config(entries, router={"num_retries": 0, "fallbacks": [{"vectors": [target["model_name"]]}]})


def any_model(key: str) -> str:
    """Whatever is asked of openai/ goes to host a."""
    entries = [deployment("openai/*", "openai/*", "@a/v1", api_key="none"), openai("h", "b")]
    return config(entries, router={"num_retries": 0, "fallbacks": [{key: ["h"]}]})


def not_again(seen: Seen) -> bool:
    return seen.hosts["a"] < 2


def of_chat(seen: Seen) -> bool:
    """The vectors, if there are any, are those of a chat model: the request that host b got names it."""
    return all_failed(seen) or any(body.get("model") == "m" for body in seen.bodies("b"))


OTHER = openai("other", "b", model_info={"mode": "embedding"})
OTHER["litellm_params"]["model"] = "openai/vectors"


def both_sections(twice: bool) -> str:
    """The chain that leads somewhere stands in litellm_settings."""
    entries = [openai("g", "a"), openai("h", "b"), openai("k", "c")]
    first = [{"k": ["h"]}]
    if twice:
        return config(entries, router={"num_retries": 0, "fallbacks": first}, litellm={"fallbacks": [{"g": ["h"]}]})
    return config(entries, router={"num_retries": 0, "fallbacks": [*first, {"g": ["h"]}]})


def beside(entry: bool) -> str:
    """The chain stands at the top of the file, or in an entry of model_list."""
    chains = [{"g": ["h"]}]
    first = {**openai("g", "a"), "fallbacks": chains} if entry else openai("g", "a")
    text = config([first, openai("h", "b")], router={"num_retries": 0})
    return text if entry else f"{text}fallbacks: {json.dumps(chains)}\n"


def stripped(key: str) -> str:
    entries = [deployment("openai/*", "openai/*", "@a/v1", api_key="none"), openai("h", "b")]
    return config(entries, router={"num_retries": 0, "fallbacks": [{key: ["h"]}]})


def defaulted(chains: list[dict[str, list[str]]], **router: Any) -> str:
    """g on a, h on b; the alias x stands for g."""
    return falls(chains, **ALIAS, **router)


def retried(own: int | None, shared: int) -> str:
    """A number of the deployment itself."""
    entries = [openai("g", "a", num_retries=own), openai("h", "b")]
    return config(entries, router={"num_retries": shared, "fallbacks": [{"g": ["h"]}]})


ROWS = [
    Row("fallback-section-twice", both_sections(True), both_sections(False), (chat("g"),), all_failed,
        hosts={"a": GONE, "b": UP, "c": UP}),
    Row("fallback-section", beside(False), falls([{"g": ["h"]}]), (chat("g"),), all_failed, hosts=A_GONE, case="top"),
    Row("fallback-section", beside(True), falls([{"g": ["h"]}]), (chat("g"),), all_failed, hosts=A_GONE, case="entry"),
    Row("fallback-key-unknown", stripped("gpt-4"), stripped("gpt-4o"), (chat("openai/gpt-4o"),), all_failed, hosts=A_GONE,
        case="stripped", said=()),
    Row("fallback-alias-uncovered", falls([{"g": ["h"]}], **ALIAS), defaulted([{"g": ["h"]}, {"*": ["h"]}]), (chat("x"),),
        all_failed, hosts=A_GONE, case="star"),
    Row("fallback-alias-uncovered", falls([{"g": ["h"]}], **ALIAS), defaulted([{"g": ["h"]}], default_fallbacks=["h"]),
        (chat("x"),), all_failed, hosts=A_GONE, case="default"),
    Row("count-type", falls([{"g": ["h"]}], max_fallbacks="5"), falls([{"g": ["h"]}], max_fallbacks=5), (chat("g"),), some_failed,
        hosts=A_GONE, case="fallbacks"),
    Row("count-type", three([{"g": ["h"]}], max_fallbacks="5"), three([{"g": ["h"]}], max_fallbacks=5), (chat("g"),), some_failed,
        hosts=A_GONE, case="fallbacks-litellm"),
    Row("count-type", falls([], retries="2"), falls([], retries=2), (chat("g"),), not_again, hosts={"a": BROKEN, "b": UP},
        case="retries"),
    Row("count-type", falls([], retries=1.5), falls([], retries=2), (chat("g"),), not_again, hosts={"a": BROKEN, "b": UP},
        case="retries-part"),
    Row("fallback-key-unknown", any_model("openai/*"), any_model("openai/gpt-4o"), (chat("openai/gpt-4o"),), some_failed,
        hosts=A_GONE, case="pattern"),
    Row("retries-before-fallback", retried(2, 0), retried(0, 2), (chat("g"),), lambda seen: seen.hosts["a"] > 1,
        hosts={"a": BROKEN, "b": UP}, case="own"),
    Row("retries-before-fallback", defaulted([], retries=2, default_fallbacks=["h"]), defaulted([], default_fallbacks=["h"]),
        (chat("g"),), lambda seen: seen.hosts["a"] > 1, hosts={"a": BROKEN, "b": UP}, case="default"),
    Row("fallback-alias-uncovered", falls([{"g": ["h"]}], **ALIAS), falls(BOTH, **ALIAS), (chat("x"),), all_failed,
        hosts=A_GONE, case="alias"),
    Row("fallback-alias-uncovered", falls([{"x": ["h"]}], **ALIAS), falls(BOTH, **ALIAS), (chat("g"),), all_failed,
        hosts=A_GONE, case="group"),
    Row("fallback-target-unknown", falls([{"g": ["nowhere"]}]), falls([{"g": ["h"]}]), (chat("g"),), all_failed, hosts=A_GONE),
    Row("fallback-target-unknown", three([{"g": ["nowhere", "h"]}], default_fallbacks=["k"]),
        three([{"g": ["h"]}], default_fallbacks=["k"]), (chat("g"),), asked("c"), hosts={"a": GONE, "b": UP, "c": UP},
        case="default"),
    Row("fallback-key-repeated", three([{"g": ["h"]}, {"g": ["k"]}]), three([{"g": ["h", "k"]}]), (chat("g"),), not_asked("c"),
        hosts={"a": GONE, "b": GONE, "c": UP}),
    Row("fallback-too-deep", chain([{name: [after]} for name, after in pairwise(CHAIN)]),
        chain([{CHAIN[0]: CHAIN[1:]}]), (chat(CHAIN[0]),), all_failed, hosts={"a": BROKEN, "b": UP}),
    Row("fallback-too-deep", levels(1), levels(2), (chat("g"),), all_failed, since("1.83.14"), {"a": GONE, "b": UP, "c": GONE},
        case="order", right_from="1.83.14"),
    Row("order-level-carried", carried(openai("k", "d", order=2)), carried(), (chat("g"),), not_asked("c"),
        ("1.83.14", "1.98.1"), {"a": GONE, "b": GONE, "c": UP, "d": UP}, right_from="1.83.14"),
    Row("fallback-embedding-chat", vectors(ollama("talk", "b")), vectors(OTHER), (embed("vectors"),), of_chat, hosts=A_GONE,
        case="ollama"),
    Row("fallback-embedding-chat", vectors(openai("talk", "b", model_info={"mode": "chat"})), vectors(OTHER),
        (embed("vectors"),), of_chat, hosts=A_GONE, case="openai"),
    Row("retries-before-fallback", falls([{"g": ["h"]}], retries=2), falls([{"g": ["h"]}], retries=0), (chat("g"),),
        lambda seen: seen.hosts["a"] > 1, hosts={"a": BROKEN, "b": UP}),
]  # fmt: skip
