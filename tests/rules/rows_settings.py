"""Settings that do nothing where they stand, and entries that share an object."""

from __future__ import annotations

from tests.rules.releases import Seen
from tests.rules.rows import Row, chat, config, openai, since, until

CHECKS = {"background_health_checks": True, "health_check_interval": 900}
SHARED = """model_list:
- {model_name: g, litellm_params: {model: openai/m, api_base: "@a/v1", api_key: none, order: 1}, model_info: &about {mode: chat}}
- {model_name: g, litellm_params: {model: openai/m, api_base: "@b/v1", api_key: none, order: 2}, model_info: *about}
"""


def same_id(seen: Seen) -> bool:
    return len(set(seen.facts["ids"])) < 2


ROWS = [
    Row("health-section", config([openai("g", "a")], litellm={f"enable_{name}": value for name, value in CHECKS.items()}),
        config([openai("g", "a")], general=CHECKS), (chat("g"),), lambda seen: not seen.facts["health_checks"]),
    Row("health-without-routing", config([openai("g", "a"), openai("g", "b")], general=CHECKS),
        config([openai("g", "a"), openai("g", "b")], general={**CHECKS, "enable_health_check_routing": True}), (chat("g"),),
        lambda seen: seen.facts["health_routing"] is False, since("1.83.14")),
    Row("model-info-shared", SHARED, SHARED.replace("*about", "{<<: *about}"), (chat("g"),), same_id,
        until("1.98.1")),
]  # fmt: skip
