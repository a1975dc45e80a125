"""The fit of a host in the plan: budgets, settings by engine, sizes and where they come from, refusals with the arithmetic."""

from __future__ import annotations

import pytest

from plugins.module_utils.gguf import GgufError
from plugins.module_utils.memory import PARTS
from plugins.module_utils.model_source import files_of_metadata
from plugins.plugin_utils.fit import (
    anywhere,
    budgets,
    cache_ram_mib,
    fit_parts,
    on_disk,
    overcommitment,
    place,
    settings_of,
    size_of,
)
from plugins.plugin_utils.fleet import Host, Model, Policy
from plugins.plugin_utils.problems import Problem
from tests.gguf_files import write_gguf
from tests.unit.fleets import SHAPE
from tests.unit.measured import models

GIB = 1024
GPU = {"name": "gpu0", "kind": "gpu", "memory_gib": 24}
LLAMA_CPP = {"engine": "llama_cpp", "base_port": 8100, "address": "mini"}
OLLAMA = {"engine": "ollama", "url": "http://gpus:11434"}


def host(*accelerators, **changes):
    return Host.model_validate({**(changes.pop("engine", OLLAMA)), "accelerators": list(accelerators) or [GPU], **changes})


def model(**changes):
    source = {"kind": "ollama", "name": "m"}
    return Model.model_validate({"source": source, "context_tokens": 4096, **changes})


def total(gib):
    return model(declared={"memory_gib": gib, "source": "test"})


@pytest.mark.parametrize(
    ("accelerator", "expected_gib", "backend"),
    [
        (GPU, 23.5, "cuda"),
        ({**GPU, "backend": "rocm", "reserved_gib": 1}, 22.5, "rocm"),
        ({**GPU, "headroom_gib": 2}, 22, "cuda"),
        ({"name": "m", "kind": "unified", "memory_gib": 64}, 47.5, "metal"),
        ({"name": "m", "kind": "unified", "memory_gib": 64, "wired_limit_gib": 60}, 59.5, "metal"),
        ({"name": "m", "kind": "unified", "memory_gib": 64, "reserved_gib": 30}, 33.5, "metal"),
        # Not a Mac: nothing but the memory limits the GPU of a Strix Halo.
        ({"name": "m", "kind": "unified", "memory_gib": 128, "backend": "rocm"}, 127.5, "rocm"),
        ({"name": "ram", "kind": "cpu", "memory_gib": 8}, 7.5, "cpu"),
    ],
)
def test_budgets(accelerator, expected_gib, backend):
    (found,) = budgets(host(accelerator), Policy())
    assert (found.budget_mib, found.library) == (expected_gib * GIB, backend)


@pytest.mark.parametrize(
    ("engine", "changes", "mode", "expected"),
    [
        (OLLAMA, {}, "chat", {"engine": "ollama", "cache_ram_mib": None, "batch_tokens": None, "flash_attention": "auto"}),
        (OLLAMA, {"cache_ram_mib": 0, "flash_attention": "on"}, "chat", {"cache_ram_mib": 0, "flash_attention": "on"}),
        (OLLAMA, {"engine_version": "0.24.0"}, "chat", {"engine_version": "0.24.0"}),
        (LLAMA_CPP, {}, "chat", {"engine": "llama_cpp", "cache_ram_mib": 0, "batch_tokens": None}),
        (LLAMA_CPP, {"cache_ram_mib": 100}, "chat", {"cache_ram_mib": 100}),
        (LLAMA_CPP, {}, "embedding", {"embedding": True, "batch_tokens": 4096, "ubatch_tokens": 4096}),
        (OLLAMA, {}, "embedding", {"embedding": True, "batch_tokens": None}),
    ],
)
def test_settings_are_those_of_the_engine(engine, changes, mode, expected):
    settings = settings_of(model(mode=mode), host(engine=engine, **changes))
    assert {key: getattr(settings, key) for key in expected} == expected


def test_the_prompt_cache_is_the_engines_unless_it_is_set():
    assert [cache_ram_mib(host(engine=engine)) for engine in (OLLAMA, LLAMA_CPP)] == [None, 0]


METADATA = {
    "general.architecture": "llama",
    "llama.block_count": 1,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
    "llama.vocab_size": 256,
}
DECLARED = {"file_bytes": 2**20, "shape": SHAPE, "source": "a note"}


@pytest.mark.parametrize(
    ("exists", "declared", "basis"),
    [(True, None, "header"), (True, DECLARED, "header"), (False, DECLARED, "declared header"), (False, None, None)],
)
def test_a_header_on_disk_wins_over_a_declared_size(exists, declared, basis, tmp_path):
    path = tmp_path / "m.gguf"
    if exists:
        write_gguf(path, METADATA, [("token_embd.weight", (64, 256), "f16")])
    asked = model(source={"kind": "file", "path": str(path)}, declared=declared)
    found = size_of("m", asked, host())
    if basis is None:
        assert isinstance(found, Problem)
        assert "unknown size" in found.got
        return
    assert (found.basis, found.source) == (basis, str(path) if exists else "a note")


def elsewhere(asked):
    return files_of_metadata(METADATA, None, 2**20), "registry.ollama.ai"


def nowhere(asked):
    raise GgufError("no such model")


@pytest.mark.parametrize(
    ("declared", "find", "basis"),
    [
        (None, elsewhere, "header"),
        (DECLARED, nowhere, "declared header"),
        ({"memory_gib": 2, "source": "ps"}, nowhere, "declared total"),
    ],
)
def test_a_declared_size_wins_over_a_header_elsewhere(declared, find, basis):
    assert size_of("m", model(declared=declared), host(), find).basis == basis


def test_a_size_that_nobody_knows_says_what_was_tried():
    assert "(no such model)" in size_of("m", model(), host(), nowhere).got
    assert "nothing is declared" in size_of("m", model(), host(), on_disk).got


def test_settings_that_would_not_load_are_a_problem():
    asked = model(declared=DECLARED, kv_type="q8_0")
    found = size_of("m", asked, host(flash_attention="off"))
    assert "needs flash attention" in found.got


def test_a_file_is_found_anywhere(tmp_path):
    write_gguf(tmp_path / "m.gguf", METADATA, [("token_embd.weight", (64, 256), "f16")])
    files, where = anywhere(model(source={"kind": "file", "path": str(tmp_path / "m.gguf")}))
    assert (files.shape.architecture, where) == ("llama", str(tmp_path / "m.gguf"))


def fitted(asked, *accelerators, engine=None, find=on_disk, **changes):
    machine = host(*accelerators, engine=engine or OLLAMA, **changes)
    pools = budgets(machine, Policy(headroom_gib=0))
    sizes = {name: size_of(name, item, machine, find) for name, item in asked.items()}
    return place(sizes, pools, machine), pools, sizes


def test_the_parts_of_a_placed_model():
    def find(_asked):
        item = models()["llama3.2-3b-q4_K_M"]
        return files_of_metadata(item["metadata"], item["tensors_summary"], item["file_size"]), "test"

    fit, _pools, sizes = fitted({"m": model(), "n": total(1)}, find=find)
    first, second = (fit_parts(item, sizes[item.model]) for item in fit.placed)
    assert sum(first[part] for part in PARTS) == pytest.approx(first["total_mib"] + first["host_mib"])
    assert [pool["name"] for pool in first["pools"]] == ["gpu0", "host"]
    assert (second["bound"], second["weights_mib"], second["host_mib"], second["total_mib"]) == ("declared", None, None, GIB)
    assert second["pools"][0]["total_mib"] == GIB


def test_a_host_without_accelerators_knows_nothing():
    external = Host.model_validate({"engine": "external", "managed": False, "url": "http://studio:1234"})
    assert place({}, [], external) is None
    assert fit_parts(None, None)["basis"] == "unknown"


RAM = {"name": "ram", "kind": "cpu", "memory_gib": 2}
TWO = (GPU, {**GPU, "name": "gpu1"})
ONE_BUDGET, TWO_BUDGETS = "at most 24.0 GiB (gpu0 24.0 GiB)", "at most 48.0 GiB (gpu0 24.0 GiB + gpu1 24.0 GiB)"
REFUSALS = [
    (
        {"a": total(20), "b": total(8)},
        (GPU,),
        "a 20.0 GiB + b 8.0 GiB = 28.0 GiB",
        "at most 24.0 GiB (gpu0 24.0 GiB)",
        "4.0 GiB of b",
    ),
    (
        {"a": total(30), "b": total(20)},
        TWO,
        "= 50.0 GiB",
        "at most 48.0 GiB (gpu0 24.0 GiB + gpu1 24.0 GiB)",
        "overcommitted by 2.0",
    ),
    ({"a": total(30), "b": total(18)}, TWO, None, None, None),
    ({"a": total(24)}, (GPU,), None, None, None),
    ({"a": total(3)}, (RAM,), "a 3.0 GiB = 3.0 GiB", "at most 2.0 GiB (ram 2.0 GiB)", "1.0 GiB of a"),
]


@pytest.mark.parametrize(("asked", "accelerators", "got", "expected", "remedy"), REFUSALS)
def test_refusals_spell_the_arithmetic_out(asked, accelerators, got, expected, remedy):
    fit, pools, _sizes = fitted(asked, *accelerators)
    problem = overcommitment("h", fit, pools)
    if got is None:
        assert problem is None
        return
    assert got in problem.got
    assert problem.expected == expected
    assert remedy in problem.remedy


def large(_asked):
    item = models()["llama3.2-3b-q4_K_M"]
    return files_of_metadata(item["metadata"], item["tensors_summary"], item["file_size"]), "test"


def test_a_model_that_spills_says_how_many_layers():
    fit, pools, _sizes = fitted({"m": model()}, {**GPU, "memory_gib": 2}, find=large)
    assert "of its 29 layers) would spill to the CPU" in overcommitment("h", fit, pools).remedy


def test_the_memory_beside_a_gpu_is_refused_where_it_is_known_to_be_too_small():
    fit, pools, _sizes = fitted({"m": model()}, GPU, RAM, find=large)
    problem = overcommitment("h", fit, pools)
    assert "of the host's memory beside its accelerators (m " in problem.got
    assert (problem.expected, "cache_ram_mib" in problem.remedy) == ("at most 2.0 GiB", True)
    fit, pools, _sizes = fitted({"m": model()}, GPU, RAM, find=large, cache_ram_mib=0)
    assert overcommitment("h", fit, pools) is None


def test_each_lack_is_counted_once():
    """14 hold 10.8; 7.5 find 3.2, the others nothing: 4.3 + 3 + 0.7 = 8 too much, as the sum says."""
    asked = {name: total(gib) for name, gib in (("a", 10.8), ("b", 7.5), ("c", 3), ("d", 0.7))}
    found, pools, _sizes = fitted(asked, {"name": "gpu0", "kind": "gpu", "memory_gib": 16, "reserved_gib": 2})
    problem = overcommitment("banana", found, pools)
    assert "= 22.0 GiB" in problem.got
    assert "overcommitted by 8.0 GiB: 4.3 GiB of b and 3.0 GiB of c and 0.7 GiB of d" in problem.remedy


def test_a_host_without_a_gpu_has_nothing_to_spill_to():
    found, pools, _sizes = fitted({"a": total(10), "b": total(9)}, {"name": "ram", "kind": "cpu", "memory_gib": 16})
    assert "overcommitted by 3.0 GiB: 3.0 GiB of b find no room" in overcommitment("h", found, pools).remedy
