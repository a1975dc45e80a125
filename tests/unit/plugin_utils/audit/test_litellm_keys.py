"""Which release's names are taken for which, and that the sections hold what they are named for."""

from __future__ import annotations

import pytest

from plugins.plugin_utils.audit.check import audit
from plugins.plugin_utils.audit.litellm_keys import content, inventoried, known, modes
from plugins.plugin_utils.litellm_release import parse_release


@pytest.mark.parametrize(
    ("release", "taken"),
    [
        pytest.param("1.0.0", "1.82.6", id="older-than-all"),
        pytest.param("1.82.6", "1.82.6", id="the-first"),
        pytest.param("1.83.0", "1.82.6", id="between"),
        pytest.param("1.98.0", "1.83.14", id="just-below"),
        pytest.param("1.106.2", "1.106.2", id="the-pinned-one"),
        pytest.param("1.105.0", "1.103.11", id="just-above-one-that-was-read"),
        pytest.param("1.109.1", "1.109.1", id="the-last"),
        pytest.param("3.0.0", "1.109.1", id="newer-than-all"),
    ],
)
def test_the_nearest_release_below_is_taken(release: str, taken: str) -> None:
    assert inventoried(parse_release(release)) == parse_release(taken)


# section, name, the first and the last release that know it
NAMES = [
    ("router_settings", "routing_strategy", "1.82.6", "1.109.1"),
    ("router_settings", "enable_weighted_failover", "1.98.1", "1.109.1"),
    ("router_settings", "enable_health_check_routing", "1.83.14", "1.109.1"),
    ("general_settings", "background_health_checks", "1.82.6", "1.109.1"),
    ("general_settings", "coordination_redis", "1.98.1", "1.109.1"),
    ("litellm_settings", "cache_params", "1.82.6", "1.109.1"),
    ("litellm_settings", "telemetry", "1.82.6", "1.103.11"),
    ("litellm_params", "num_ctx", "1.82.6", "1.109.1"),
    ("model_info", "health_check_model", "1.82.6", "1.109.1"),
    ("complexity_router_config", "context_compaction", "1.106.2", "1.109.1"),
    ("complexity_router_config", "tiers", "1.82.6", "1.109.1"),
    ("cache_params", "host", "1.82.6", "1.109.1"),
    ("sections", "include", "1.82.6", "1.109.1"),
    ("providers", "ollama_chat", "1.82.6", "1.109.1"),
    ("routing_strategies", "lar1", "1.98.1", "1.109.1"),
    ("bare_models", "gpt-4o", "1.82.6", "1.109.1"),
]


@pytest.mark.parametrize(("section", "name", "first", "last"), NAMES, ids=[f"{row[0]}-{row[1]}" for row in NAMES])
def test_a_name_is_known_from_one_release_to_another(section: str, name: str, first: str, last: str) -> None:
    releases = [release for release in content()[0] if name in known(section, release)]
    assert (releases[0], releases[-1]) == (parse_release(first), parse_release(last))


NOBODYS = [
    ("router_settings", "model_list"),
    ("general_settings", "fallbacks"),
    ("litellm_settings", "enable_background_health_checks"),
    ("litellm_params", "odrer"),
    ("providers", "olama_chat"),
    ("routing_strategies", "latency-based"),
    ("bare_models", "qwen3:8b"),
]


@pytest.mark.parametrize(("section", "name"), NOBODYS, ids=[f"{row[0]}-{row[1]}" for row in NOBODYS])
def test_no_release_knows_what_people_write_by_mistake(section: str, name: str) -> None:
    assert not any(name in known(section, release) for release in content()[0])


# Settings of releases whose wheels were read (reference, section 15 and the findings of those who ran them).
RIGHT = [
    ("router_settings", "enable_mid_stream_fallback_continuation", "1.109.1"),
    ("router_settings", "session_affinity_repin_on_failover", "1.109.1"),
    ("general_settings", "return_wildcard_routes", "1.109.1"),
    ("general_settings", "maximum_spend_logs_size", "1.109.1"),
    ("router_settings", "routing_groups", "1.97.0"),
    ("general_settings", "coordination_redis", "1.97.0"),
    ("general_settings", "image_generation_model", "1.106.2"),
    ("general_settings", "moderation_model", "1.106.2"),
]


@pytest.mark.parametrize(("section", "name", "release"), RIGHT, ids=[f"{row[1]}-{row[2]}" for row in RIGHT])
def test_a_right_setting_is_no_finding(section: str, name: str, release: str) -> None:
    findings = audit(f"{section}: {{{name}: 1}}\n".encode(), release).findings
    assert [item.path for item in findings if item.rule in ("key-unknown", "key-misspelt")] == []


def test_an_unknown_section_is_nobodys() -> None:
    with pytest.raises(KeyError):
        known("no_such_settings", parse_release("1.106.2"))


MODES = [
    ("voyage/voyage-3-large", "embedding"),
    ("text-embedding-3-small", "embedding"),
    ("whisper-1", "audio_transcription"),
    ("groq/whisper-large-v3", "audio_transcription"),
    ("gpt-4o", None),
    ("gemma3:27b", None),
]


@pytest.mark.parametrize(("model", "mode"), MODES, ids=[row[0] for row in MODES])
def test_the_mode_of_a_model(model: str, mode: str | None) -> None:
    assert modes().get(model) == mode
