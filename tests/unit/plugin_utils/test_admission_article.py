"""The article's lab: its first sets and cranberry's final one are refused with the sum, its final sets need one setting.

Sizes are the published ones (tests/fixtures/article); no header can be had, so they stand in for the engine's prediction
too, and every answer says so.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.plugin_utils.admission import Accelerator, Candidate, EngineHost, Footprint, ServerSettings, mend, replay
from tests import yaml_text

ROOT = Path(__file__).parents[3]
VERSION = "0.33.0"
# Published with the lab's memory audit, but not in its final table.
REPLACED = {"qwen3.5:35b-a3b-coding-nvfp4": 22.0, "gemma4:latest, as measured on banana": 10.8}
LIBRARIES = {"gpu": "cuda", "unified": "metal", "cpu": "cpu"}
SETTLED = ServerSettings(keep_alive=-1, max_loaded_models=3)


def lab(name):
    """Hosts, loaded sizes in GiB and resident sets of an inventory, from its files."""
    root = ROOT / name
    hosts = yaml_text.read((root / "hosts.yml").read_text(encoding="utf-8"))["all"]["children"]["engines"]["hosts"]
    models, assignments = (
        yaml_text.read((root / f"group_vars/all/{part}.yml").read_text(encoding="utf-8"))[f"llm_{part}"]
        for part in ("models", "assignments")
    )
    sizes = {model: said["declared"]["memory_gib"] for model, said in models.items()}
    resident = {host: [] for host in hosts}
    for deployments in assignments.values():
        for item in deployments:
            if item["model"] not in resident[item["host"]]:
                resident[item["host"]].append(item["model"])
    return {host: engine_host(said["llm_host"]) for host, said in hosts.items()}, sizes, resident


def engine_host(said):
    return EngineHost(tuple(device(item) for item in said["accelerators"]))


def device(said):
    free_gib = said["memory_gib"] - said["reserved_gib"]
    return Accelerator(said["name"], LIBRARIES[said["kind"]], said["memory_gib"] * 1024, free_gib * 1024)


HOSTS, SIZES, RESIDENT = lab("tests/fixtures/article")
SETS = {
    "banana, first": ("banana", ["gemma4:latest, as measured on banana", "qwen3.5:9b"]),
    "banana, final": ("banana", RESIDENT["banana"]),
    "star, first": ("star", ["gpt-oss:120b", "qwen3.5:35b-a3b-coding-nvfp4"]),
    "star, final": ("star", RESIDENT["star"]),
    "cranberry, final": ("cranberry", RESIDENT["cranberry"]),
}


def candidates(models, sizes=SIZES):
    return [Candidate(name, real=Footprint({**sizes, **REPLACED}[name] * 1024)) for name in models]


def test_the_sets_are_the_articles():
    assert sorted(RESIDENT["banana"]) == ["embeddinggemma", "nemotron-3-nano:4b", "qwen3.5:9b"]
    assert sorted(RESIDENT["cranberry"]) == ["gemma4:26b", "gemma4:latest", "qwen3.5:35b"]
    assert RESIDENT["star"] == ["gpt-oss:120b"]


@pytest.mark.parametrize(
    ("which", "physical", "verdict", "why"),
    [
        # 10.8 + 7.5 = 18.3 of 14 GiB; beside 10.8 are 3.2 free, 80 % of them 2.6
        ("banana, first", "= 18,739 MiB, 4,403 MiB more than the 14,336 MiB of gpu0", "evicts", "over 80 % of the 3,277 MiB"),
        # 65 + 22 = 87 of 84; beside 65 are 19 free, 80 % 15.2
        ("star, first", "= 89,088 MiB, 3,072 MiB more than the 86,016 MiB of metal", "evicts", "over 80 % of the 19,456 MiB"),
        # 10 + 20 + 24 = 54 of 44
        ("cranberry, final", "= 55,296 MiB, 10,240 MiB more than the 45,056 MiB of gpu0 + gpu1", "evicts", "80 % of the"),
    ],
)
def test_what_the_article_overcommitted_is_refused_with_the_sum(which, physical, verdict, why):
    host, models = SETS[which]
    result = replay(HOSTS[host], SETTLED, VERSION, candidates(models))
    assert (result.verdict, why in result.reason) == (verdict, True)
    assert any("declared size stands in" in note for note in result.notes)
    refused = mend(HOSTS[host], SETTLED, VERSION, candidates(models))
    assert not refused.found
    assert physical in refused.reason
    assert "does not fit physically" in refused.reason


@pytest.mark.parametrize("which", ["banana, final", "star, final"])
def test_its_final_sets_stay_once_the_timer_is_off(which):
    """3 models on one device are the default cap; only OLLAMA_KEEP_ALIVE is missing."""
    host, models = SETS[which]
    result = replay(HOSTS[host], ServerSettings(), VERSION, candidates(models))
    assert result.verdict == "expires"
    mended = mend(HOSTS[host], ServerSettings(), VERSION, candidates(models))
    assert [(change.setting, change.value) for change in mended.changes] == [("OLLAMA_KEEP_ALIVE", -1)]
    assert mended.replays[0].stays


def test_bananas_first_set_was_one_model_too_many_for_a_fourth_as_well():
    """With a fourth small model beside its final set the default cap of 3 evicts, and the count mends it."""
    host, models = SETS["banana, final"]
    fourth = [*candidates(models), Candidate("all-minilm", real=Footprint(200))]
    assert replay(HOSTS[host], ServerSettings(keep_alive=-1), VERSION, fourth).verdict == "evicts"
    mended = mend(HOSTS[host], ServerSettings(keep_alive=-1), VERSION, fourth)
    assert [(change.setting, change.value) for change in mended.changes] == [("OLLAMA_MAX_LOADED_MODELS", 4)]


@pytest.mark.parametrize("host", ["star", "cranberry", "banana", "clementine"])
def test_the_example_inventory_stays_on_every_host(host):
    hosts, sizes, resident = lab("inventory/homelab")
    result = mend(hosts[host], SETTLED, VERSION, candidates(resident[host], sizes))
    assert result.found
    assert {change.setting for change in result.changes} <= {"order"}
