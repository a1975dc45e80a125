"""Files of a wrong shape, keys that nobody reads, and values that a release drops."""

from __future__ import annotations

from typing import Any

from tests.rules.hosts import BROKEN, GONE, UP
from tests.rules.releases import Seen
from tests.rules.rows import Row, all_failed, asked, chat, config, deployment, embed, not_started, ollama, openai
from tests.rules.rows_complexity import FAST, SIMPLE, SLOW, smart
from tests.rules.rows_fallbacks import OTHER, falls, of_chat
from tests.rules.rows_names import dropped

A_BROKEN, A_GONE = {"a": BROKEN, "b": UP}, {"a": GONE, "b": UP}
ONE = {"a": UP}
NO_RETRY = {"num_retries": 0}
G, H = openai("g", "a"), openai("h", "b")
RIGHT = falls([{"g": ["h"]}])
# A name of one letter would be the list of its letters.
REST = openai("rest", "b")


def shaped(value: Any, name: str = "fallbacks") -> str:
    return config([G, REST], router={**NO_RETRY, name: value})


def client_context(seen: Seen) -> bool:
    """The context that the client wrote reached a path that obeys it."""
    return any((body.get("options") or {}).get("num_ctx") == 131072 for body in seen.bodies("a"))


def tiers(simple: str, **more: Any) -> str:
    entry = smart(more)
    entry["litellm_params"]["complexity_router_config"]["tiers"]["SIMPLE"] = simple
    entry["litellm_params"]["complexity_router_default_model"] = "slow"
    return config([FAST, SLOW, entry], router=NO_RETRY)


def vectors(**sections: Any) -> str:
    entries = [openai("vectors", "a", model_info={"mode": "embedding"}), OTHER, openai("talk", "b", model_info={"mode": "chat"})]
    return config(entries, router={**NO_RETRY, **sections})


NEVER_SIMPLE = {"simple_medium": -9.0, "medium_complex": 8.0, "complex_reasoning": 9.0}
SEMANTIC = {"model_name": "wise", "litellm_params": {"model": "auto_router/wise"}}
ROWS = [
    Row("fallback-shape", shaped({"g": ["rest"]}), RIGHT, (chat("g"),), not_started, hosts=A_GONE, case="mapping"),
    Row("fallback-shape", shaped([{"g": "rest"}]), RIGHT, (chat("g"),), all_failed, hosts=A_GONE, case="text"),
    Row("fallback-shape", shaped([{"g": ["rest"], "rest": ["g"]}]), RIGHT, (chat("g"),), not_started, hosts=A_GONE,
        case="two-keys"),
    Row("fallback-shape", shaped("rest", "default_fallbacks"), shaped(["rest"], "default_fallbacks"), (chat("g"),), all_failed,
        hosts=A_GONE, case="default"),
    Row("fallback-section", config([G, H], router=NO_RETRY, general={"fallbacks": [{"g": ["h"]}]}), RIGHT, (chat("g"),),
        all_failed, hosts=A_GONE),
    Row("fallback-same-group", falls([{"g": ["x"]}], model_group_alias={"x": "g"}), RIGHT, (chat("g"),),
        lambda seen: seen.hosts["a"] > 1, hosts=A_BROKEN),
    Row("default-fallback-embedding", vectors(default_fallbacks=["talk"]), vectors(fallbacks=[{"vectors": ["other"]}]),
        (embed("vectors"),), of_chat, hosts=A_GONE),
    Row("number-type", config([H, openai("g", "a", rpm="many")]), config([H, openai("g", "a", rpm=5)]), (chat("g"),), dropped,
        case="rpm"),
    Row("number-type", config([openai("g", "a", timeout="abc")], router=NO_RETRY), config([openai("g", "a", timeout=5)]),
        (chat("g"),), all_failed, hosts=ONE, case="timeout"),
    Row("parameter-refused", config([ollama("g", "a", presence_penalty=1)], router=NO_RETRY),
        config([ollama("g", "a", presence_penalty=1)], router=NO_RETRY, litellm={"drop_params": True}), (chat("g"),), all_failed,
        hosts=ONE),
    Row("client-override", config([ollama("g", "a", num_ctx=4096)]), config([G]), (chat("g", num_ctx=131072),), client_context,
        hosts=ONE),
    Row("openai-api-base-no-v1", config([deployment("g", "openai/m", "@a", api_key="none")], router=NO_RETRY),
        config([G], router=NO_RETRY), (chat("g"),), all_failed, hosts=ONE),
    Row("complexity-tier-unresolved", tiers("nowhere"), tiers("fast"), (chat("smart", messages=SIMPLE),),
        lambda seen: seen.failed > 0 or seen.hosts["b"] > 0),
    Row("complexity-key-unknown", config([FAST, SLOW, smart({"tier_borders": NEVER_SIMPLE})]),
        config([FAST, SLOW, smart({"tier_boundaries": NEVER_SIMPLE})]), (chat("smart", messages=SIMPLE),), asked("a")),
    Row("semantic-router-incomplete", config([G, SEMANTIC]), config([G, openai("wise", "b")]), (chat("g"),), dropped),
    Row("key-unknown", config([G], router={"num_retrys": 0}), config([G], router=NO_RETRY), (chat("g"),),
        lambda seen: seen.hosts["a"] > 1, hosts={"a": BROKEN}, case="router"),
    Row("key-unknown", config([ollama("g", "a", presence_penalty=1)], router=NO_RETRY, litellm={"drop_parameters": True}),
        config([ollama("g", "a", presence_penalty=1)], router=NO_RETRY, litellm={"drop_params": True}), (chat("g"),), all_failed,
        hosts=ONE, case="litellm"),
    Row("key-misspelt", config([openai("g", "a", odrer=1)]), config([openai("g", "a", order=1)]), (chat("g"),),
        lambda seen: any("odrer" in body for body in seen.bodies("a")), hosts=ONE),
]  # fmt: skip
