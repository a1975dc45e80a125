"""The residency receipt of the fleet as a person reads it."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.plugin_utils.residency_report import expected_of, host_settings_findings, residency_table, untold_settings
from tests.unit.residencies import SOON, loaded, sight

GIB = 2**30
ITEM = {"mode": "chat", "context_tokens": 4096, "load_order": 1}


def item(model: str, engine_model: str | None = None, **more: Any) -> dict[str, Any]:
    return {**ITEM, "model": model, "engine_model": engine_model or model, **more}


def host(engine: str, *resident: dict[str, Any], managed: bool = True) -> dict[str, Any]:
    return {
        "engine": engine,
        "managed": managed,
        "resident": list(resident),
        "admission": {"settings": {"OLLAMA_KEEP_ALIVE": "-1"}},
    }


PLAN = {
    "hosts": {
        "gpus": host("ollama", item("big", "a:30b", full_offload=True), item("vectors", "b")),
        "mini": host("llama_cpp", item("small")),
        "desk": host("ollama", item("big", "a:30b"), managed=False),
        "rented": host("external", item("gpt")),
        "gone": host("llama_cpp", item("small")),
    }
}
GPUS = sight(
    loaded("a:30b", size_bytes=17 * GIB, size_vram_bytes=17 * GIB),
    loaded("b", size_bytes=300 * 2**20, size_vram_bytes=200 * 2**20, expires_at=SOON),
    loaded("c"),
)
MINI = {**sight(loaded("small", size_bytes=GIB, size_vram_bytes=None, expires_at=None)), "resident": True, "version": "b10488"}
RENTED = {**sight(), "available": ["gpt"], "version": None}
RECEIPTS = {
    "gpus": {"big": GPUS, "vectors": GPUS},
    "mini": {"small": MINI},
    "desk": {"big": sight()},
    "rented": {"gpt": RENTED},
    "gone": {"small": sight(error="no connection")},
}
FINDINGS = {("gpus", "vectors"): ["is kept until then only"], ("gone", "small"): ["does not answer: no connection"]}
WATCHED = {
    "began_at": "2026-11-20T08:15:00+00:00",
    "models": [
        {"name": "a:30b", "evictions": 2, "loads": 3, "load_failures": 0},
        {"name": "b", "evictions": 0, "load_failures": 1},
    ],
}
TABLE = """\
host    model    engine            context  memory              in GPU  keep-alive              verdict                                    watchdog
gpus    big      ollama 0.33.0     4096     17.00 GiB           100 %   for ever                as planned                                 evicted 2, loaded 3 since 2026-11-20 08:15
gpus    vectors  ollama 0.33.0     4096     300 MiB             67 %    until 2026-11-21 20:46  is kept until then only                    evicted 0, failed 1 since 2026-11-20 08:15
mini    small    llama_cpp b10488  4096     1.00 GiB of weights  -       for ever                as planned
desk    big      ollama 0.33.0     -        -                   -       -                       not loaded; loads when it is asked
rented  gpt      external          -        -                   -       -                       served; whether it is loaded is not told
gone    small    llama_cpp         -        -                   -       -                       does not answer
note: gpus has also loaded what nobody planned: c:latest"""  # noqa: E501 - a table is as wide as it is


def test_the_table() -> None:
    found = residency_table(PLAN, RECEIPTS, FINDINGS, {"gpus": WATCHED, "mini": None})
    squeezed = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in found.splitlines()]
    assert squeezed == [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in TABLE.splitlines()]
    places = {line.index("keep-alive") if "keep-alive" in line else line.index("for ever") for line in found.splitlines()[:2]}
    assert len(places) == 1


def test_who_was_not_asked_has_a_line() -> None:
    assert "was not asked" in residency_table(PLAN, {"mini": {}}, {}, {}).splitlines()[1]


def test_an_unmanaged_ollama_promises_nothing() -> None:
    table = residency_table(PLAN, {"desk": {"big": sight(loaded("a:30b", expires_at=SOON))}}, {}, {})
    assert "loaded; nobody promises that it stays" in table


@pytest.mark.parametrize("watched", [None, {}, {"models": 5}, {"models": [5, {"name": 7}]}, {"models": [{"name": "a:30b"}]}])
def test_what_a_watchdog_writes_is_not_trusted(watched: Any) -> None:
    table = residency_table(PLAN, {"gpus": {"big": GPUS, "vectors": GPUS}}, {}, {"gpus": watched})
    assert "as planned" in table


@pytest.mark.parametrize(
    ("more", "digest", "full"),
    [
        ({}, None, False),
        ({"digest": "d" * 64, "full_offload": True}, "d" * 64, True),
        ({"digest": "d" * 64, "derived": {"from": "a:30b", "parameters": {}}}, None, False),
        ({"digest": None, "derived": None, "full_offload": None}, None, False),
    ],
)
def test_a_resident_of_the_plan_is_expected(more: dict[str, Any], digest: str | None, full: bool) -> None:
    found = expected_of(item("big", "a:30b", **more))
    assert (found.name, found.digest, found.full_offload, found.context_tokens) == ("a:30b", digest, full, 4096)


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("gpus", None, 0),
        ("gpus", {"environment": None, "effective": None}, 0),
        ("gpus", {"environment": {}, "effective": None}, 1),
        ("gpus", {"environment": {}, "effective": {"OLLAMA_KEEP_ALIVE": "5m0s"}}, 1),
        ("gpus", {"environment": {}, "effective": {"OLLAMA_KEEP_ALIVE": "2562047h47m16.854775807s"}}, 0),
        ("desk", {"environment": {}, "effective": None}, 0),
        ("mini", {"environment": {}, "effective": None}, 0),
    ],
)
def test_settings_are_compared_where_we_made_them(name: str, settings: Any, expected: int) -> None:
    assert len(host_settings_findings(PLAN["hosts"][name], settings)) == expected


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("gpus", None, 0),
        ("gpus", {"environment": None, "effective": None}, 1),
        ("gpus", {"environment": None, "effective": {"OLLAMA_HOST": "a"}}, 1),
        ("gpus", {"environment": None, "effective": {"OLLAMA_KEEP_ALIVE": "5m0s"}}, 0),
        ("gpus", {"environment": {}, "effective": None}, 0),
        ("desk", {"environment": None, "effective": None}, 0),
        ("mini", {"environment": None, "effective": None}, 0),
    ],
)
def test_settings_that_nothing_tells_are_named(name: str, settings: Any, expected: int) -> None:
    found = untold_settings(name, PLAN["hosts"][name], settings)
    assert len(found) == expected
    assert all("OLLAMA_KEEP_ALIVE" in text for text in found)
