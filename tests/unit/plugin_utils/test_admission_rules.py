"""Which rules hold for which version, and what the settings mean."""

from __future__ import annotations

import pytest

from plugins.plugin_utils.admission import ServerSettings
from plugins.plugin_utils.admission_rules import (
    FOREVER_S,
    flash_attention,
    go_duration_s,
    kv_type_refusal,
    lower_tier,
    most_loaded,
    request_keep_alive_s,
    rules_for,
    server_keep_alive_s,
)
from tests.unit.admissions import cpu, gpu, gpus


@pytest.mark.parametrize(
    ("version", "family", "note"),
    [
        ("0.24.0", "measured layout", None),
        ("v0.15.5", "measured layout", None),
        ("0.25.0-rc0", "measured layout", None),
        ("0.30.0", "eighty percent", None),
        ("0.33.0-rc2", "eighty percent", None),
        ("0.34.1", "eighty percent", None),
        ("0.35.0", "eighty percent", "newer than 0.34.1"),
        ("1.0.0", "eighty percent", "newer than 0.34.1"),
        ("0.15.4", None, "read from 0.15.5 on"),
        # what a build without a version says of itself
        ("0.0.0", None, "expected one such as 0.33.0"),
        ("latest", None, "expected one such as 0.33.0"),
        ("0.33", None, "expected one such as 0.33.0"),
    ],
)
def test_rules_by_version(version, family, note):
    rules, said = rules_for(version)
    assert (rules.family if rules else None) == family
    assert (said is None) if note is None else note in said


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 300),
        ("", 300),
        ("5m", 300),
        ("1h30m", 5400),
        ("90", 90),
        (90, 90),
        ("-1", FOREVER_S),
        (-1, FOREVER_S),
        ("-1m", FOREVER_S),
        ("0", 0),
        ("1.5h", 5400),
        # what it cannot read the engine ignores
        ("forever", 300),
        ("5 m", 300),
    ],
)
def test_keep_alive_of_the_server(value, seconds):
    assert server_keep_alive_s(ServerSettings(keep_alive=value)) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), (-1, FOREVER_S), (0, 0), (30, 30), ("24h", 86400), ("-1s", FOREVER_S)]
)
def test_keep_alive_of_a_request(value, seconds):
    assert request_keep_alive_s(value) == seconds


def test_a_request_needs_a_unit_where_the_server_does_not():
    with pytest.raises(ValueError, match="text with a unit"):
        request_keep_alive_s("-1")


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("+1s", 1), ("1", None), ("s", None), ("1x", None), ("", None)])
def test_durations_of_go(text, seconds):
    assert go_duration_s(text) == seconds


@pytest.mark.parametrize(
    ("host", "said", "models"),
    [(gpus(8), None, 3), (gpus(8, 8), None, 6), (cpu(8), None, 3), (gpus(8, 8), 4, 4), (gpus(8), 0, 3)],
)
def test_how_many_models_may_be_loaded(host, said, models):
    assert most_loaded(host, ServerSettings(max_loaded_models=said)) == models


@pytest.mark.parametrize(("tokens", "lower"), [(262144, 32768), (131072, 32768), (32768, 4096), (4096, None), (2048, None)])
def test_the_tier_below(tokens, lower):
    assert lower_tier(tokens) == lower


@pytest.mark.parametrize(
    ("version", "compute", "said", "on"),
    [
        ("0.33.0", (6, 1), None, True),
        # Pascal came back between 0.31.0 and 0.32.0
        ("0.31.0", (6, 1), None, False),
        ("0.31.0", (7, 5), None, True),
        ("0.33.0", (5, 2), None, False),
        ("0.33.0", (7, 2), None, False),
        ("0.33.0", None, None, True),
        ("0.33.0", (5, 2), True, True),
        ("0.33.0", (8, 6), False, False),
    ],
)
def test_flash_attention(version, compute, said, on):
    rules, _ = rules_for(version)
    assert flash_attention(rules, ServerSettings(flash_attention=said), (gpu(8, compute_capability=compute),)) is on


@pytest.mark.parametrize(
    ("version", "kind", "flash", "said"),
    [
        ("0.33.0", None, True, None),
        ("0.33.0", "q8_0", True, None),
        ("0.33.0", "Q8_0", True, None),
        ("0.33.0", "q8", True, "refuses it"),
        ("0.33.0", "q8_0", False, "needs flash attention"),
        ("0.33.0", "f16", False, None),
        # older ones check it themselves and take f16 instead
        ("0.24.0", "q8", True, None),
    ],
)
def test_kv_cache_types_with_which_nothing_loads(version, kind, flash, said):
    rules, _ = rules_for(version)
    refusal = kv_type_refusal(rules, ServerSettings(kv_cache_type=kind), flash)
    assert refusal is None if said is None else said in refusal
