"""Rules about values that LiteLLM takes without a word and does nothing with, or drops a deployment for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..problems import Path, shown
from .config import mapping, number, text
from .finding import Edit, Found, Subject, rule
from .litellm_keys import known, newest, possible
from .rules_settings import CONTROLS, NEAR

# Fields of RetryPolicy and AllowedFailsPolicy, values of OptionalPreCallChecks (types/router.py of 1.106.2): what an older
# release lacks of them is not looked at.
ERRORS = ("BadRequest", "Authentication", "Timeout", "RateLimit", "ContentPolicyViolation", "InternalServer", "NotFound")
RETRIED = frozenset([*(f"{name}ErrorRetries" for name in (*ERRORS, "ServiceUnavailable")), "DefaultRetries"])
ALLOWED = frozenset(f"{name}ErrorAllowedFails" for name in (*ERRORS, "ServiceUnavailable", "BadGateway"))
CHECKS = frozenset(
    {
        "deployment_affinity",
        "encrypted_content_affinity",
        "enforce_model_rate_limits",
        "forward_client_headers_by_model_group",
        "prompt_caching",
        "responses_api_deployment_check",
        "router_budget_limiting",
        "session_affinity",
    }
)
# What the client of Redis takes besides those that the inventory has (_redis.py of 1.106.2).
REDIS = frozenset({"sentinel_nodes", "sentinel_password", "service_name", "startup_nodes", "url"})
# What health_check_helpers.py of 1.106.2 can ask, and what stands in its model_prices_and_context_window.json.
MODES = frozenset(
    {
        *("anthropic_messages", "audio_speech", "audio_transcription", "batch", "chat", "completion", "decisions"),
        *("embedding", "evaluation", "extraction", "guardrail", "image_edit", "image_generation", "moderation"),
        *("ocr", "realtime", "rerank", "responses", "search", "vector_store", "video_generation"),
    }
)
# Declared fields of LiteLLM_Params that are lists of text or mappings, asked of 1.82.6, 1.83.14, 1.98.1 and 1.106.2.
LISTS, MAPPINGS = ("tags", "tag_regex"), ("complexity_router_config",)
# Other rules speak about these beside litellm_params.
SPOKEN_OF = frozenset({"order", "weight", "max_parallel_requests"})


@rule("health-interval", "error", "No background check ever runs: LiteLLM ends its loop unless the interval is a whole number.")
def health_interval(subject: Subject) -> Iterator[Found]:
    """proxy_server.py:4745 of 1.106.2; a variable becomes text, too."""
    general, path = subject.config.section("general_settings"), ("general_settings", "health_check_interval")
    value = general.get("health_check_interval")
    if value is None or not general.get("background_health_checks") or (isinstance(value, int) and value > 0):
        return
    seconds = number(value)
    edits = (Edit(path, max(1, round(seconds))),) if seconds is not None and seconds > 0 else ()
    yield Found(path, shown(value), "a whole number of seconds", "Write it without quotes and unit: 300.", edits=edits)


@rule(
    "parameter-outside",
    "error",
    "LiteLLM looks for it in litellm_params; beside them it does nothing: without api_base Ollama is asked on this machine.",
)
def parameter_outside(subject: Subject) -> Iterator[Found]:
    """Of the parameters that LiteLLM itself goes by: other keys may be one's own."""
    names = CONTROLS & known("litellm_params", subject.release) - SPOKEN_OF
    entries = subject.config.data.get("model_list")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        params = mapping(mapping(entry).get("litellm_params"))
        for name in (name for name in mapping(entry) if name in names):
            path, place = ("model_list", index, name), ("model_list", index, "litellm_params", name)
            edits = (Edit(place, entry[name]), Edit(path, remove=True)) if params and name not in params else ()
            got, expected = f"{name} beside litellm_params", f"{name} in litellm_params"
            yield Found(path, got, expected, "Move it into litellm_params.", edits=edits)


@rule("parameter-shape", "error", "LiteLLM drops a deployment in which such a parameter has another shape, without a word.")
def parameter_shape(subject: Subject) -> Iterator[Found]:
    for item in subject.config.deployments:
        for name in (name for name in (*LISTS, *MAPPINGS) if item.params.get(name) is not None):
            value, path = item.params[name], (*item.path, "litellm_params", name)
            if name in MAPPINGS and not isinstance(value, dict):
                yield Found(path, f"a {type(value).__name__}", "a mapping", "Write its keys below it.")
            elif name in LISTS and not (isinstance(value, list) and all(isinstance(part, str) for part in value)):
                edits = (Edit(path, [value]),) if isinstance(value, str) else ()
                yield Found(
                    path, f"a {type(value).__name__}", "a list of texts", f"Write it as a list: {name}: […].", edits=edits
                )


@rule("policy-key-unknown", "error", "A policy takes any key and ignores those that it does not know: nothing is retried by it.")
def policy_key_unknown(subject: Subject) -> Iterator[Found]:
    router = subject.config.section("router_settings")
    for name, names in (("retry_policy", RETRIED), ("allowed_fails_policy", ALLOWED)):
        for path, policy in _policies(router, name):
            for key in policy:
                if key not in names and (subject.release <= newest() or subject.guesses.near(key, names, NEAR)):
                    mend = subject.guesses.meant(str(key), names)
                    yield Found((*path, key), str(key), "a key that it knows", mend)


def _policies(router: Mapping[str, Any], name: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    yield ("router_settings", name), mapping(router.get(name))
    for group, policy in mapping(router.get(f"model_group_{name}")).items():
        yield ("router_settings", f"model_group_{name}", group), mapping(policy)


@rule("check-unknown", "error", "LiteLLM ignores the name of a check that it does not know, without a word.")
def check_unknown(subject: Subject) -> Iterator[Found]:
    checks = subject.config.section("router_settings").get("optional_pre_call_checks")
    for index, name in enumerate(checks if isinstance(checks, list) else ()):
        known_one = isinstance(name, str) and name in CHECKS
        if not known_one and (subject.release <= newest() or subject.guesses.near(name, CHECKS, NEAR)):
            path = ("router_settings", "optional_pre_call_checks", index)
            yield Found(path, shown(name), "a check that exists", subject.guesses.meant(str(name), CHECKS))


@rule("cache-key-unknown", "error", "The cache takes any parameter and ignores those that it does not know.")
def cache_key_unknown(subject: Subject) -> Iterator[Found]:
    """Each kind of cache has parameters of its client, so that only what looks like one of LiteLLM's own is wrong."""
    names = possible("cache_params", subject.release)
    for key in mapping(subject.config.section("litellm_settings").get("cache_params")):
        near = None if key in names or key in REDIS else subject.guesses.near(key, names, NEAR)
        if near:
            yield Found(("litellm_settings", "cache_params", key), str(key), near, f"Write {near}.")


@rule("mode-unknown", "warning", "A health check asks by the mode: with one that LiteLLM does not know it fails each time.")
def mode_unknown(subject: Subject) -> Iterator[Found]:
    for item in subject.config.models:
        mode = text(item.info.get("mode"))
        near = subject.guesses.near(mode, MODES) if mode and mode not in MODES else None
        if mode and mode not in MODES and (near or subject.release <= newest()):
            mend = subject.guesses.meant(mode, MODES)
            yield Found((*item.path, "model_info", "mode"), shown(mode), "a mode that exists", mend)
