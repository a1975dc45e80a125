"""An Ollama that is configured here: all of its settings are written out, and models that need others get a name of their own."""

from __future__ import annotations

import pytest

from plugins.module_utils.memory import ModelFiles
from plugins.module_utils.model_shape import describe
from plugins.plugin_utils.fit import Wanted, settings_of
from plugins.plugin_utils.fleet import Host, Model
from plugins.plugin_utils.intent import parse_fleet
from plugins.plugin_utils.managed_ollama import (
    changeable,
    common_context,
    derived,
    derived_name,
    listens_on,
    with_written_settings,
)
from plugins.plugin_utils.plan import make_plan
from plugins.plugin_utils.plan_document import PlanDocument
from plugins.plugin_utils.problems import IntentError
from tests.unit.fleets import VARIABLES, intent
from tests.unit.measured import models
from tests.unit.plugin_utils.test_plan_admission import SMALL, find, lab


def host(**changes):
    gpu = {"name": "gpu0", "kind": "gpu", "memory_gib": 24}
    return Host.model_validate({"engine": "ollama", "url": "http://star:11434", "accelerators": [gpu], **changes})


def planned(*args, **more):
    document = make_plan(lab(*args, managed=True, **more), "test", find)
    PlanDocument.model_validate(document)
    return document["hosts"]["gpus"]


WHOLE = {
    "OLLAMA_MAX_LOADED_MODELS": "4",
    "OLLAMA_NUM_PARALLEL": "1",
    "OLLAMA_CONTEXT_LENGTH": "4096",
    "OLLAMA_KEEP_ALIVE": "-1",
    "OLLAMA_FLASH_ATTENTION": "1",
    "OLLAMA_KV_CACHE_TYPE": "f16",
    "LLAMA_ARG_CACHE_RAM": "0",
}


@pytest.mark.parametrize("version", ["0.24.0", "0.33.0"])
def test_every_setting_that_decides_memory_is_written_out(version):
    said = planned([24], SMALL, version=version)["admission"]
    assert (said["stays"], said["settings"], said["mend"]) == (True, WHOLE, None)


@pytest.mark.parametrize(
    ("server", "variable", "value"),
    [
        ({"max_loaded_models": 9}, "OLLAMA_MAX_LOADED_MODELS", "9"),
        ({"context_length": 8192}, "OLLAMA_CONTEXT_LENGTH", "8192"),
        ({"sched_spread": True}, "OLLAMA_SCHED_SPREAD", "1"),
        ({"gpu_overhead_mib": 1}, "OLLAMA_GPU_OVERHEAD", str(2**20)),
    ],
)
def test_what_was_said_stays(server, variable, value):
    assert planned([24], SMALL, server=server)["admission"]["settings"] == {**WHOLE, variable: value}


def test_what_was_said_and_evicts_is_still_refused():
    with pytest.raises(IntentError, match="OLLAMA_MAX_LOADED_MODELS=4"):
        planned([24], SMALL, server={"max_loaded_models": 3})


def test_a_setting_that_keeps_all_is_taken_where_nobody_said_another():
    """23.4 of 23.5 GiB, but llama-server keeps 1 GiB of its own free."""
    tight = ([24], ("qwen3-30b-a3b-2507-q4_K_M",), 58000)
    assert planned(*tight)["admission"]["settings"]["LLAMA_ARG_FIT_TARGET"] == "512"
    with pytest.raises(IntentError, match="LLAMA_ARG_FIT_TARGET=512"):
        planned(*tight, server={"fit_target_mib": 1024})


def test_a_shorter_context_is_said_and_never_taken():
    with pytest.raises(IntentError, match=r"llm_models\.m1\.context_tokens: 65536"):
        planned([24], ("gemma3-4b-q4_K_M", "gemma4-e4b-q4_K_M"), 131072)


@pytest.mark.parametrize(
    ("capability", "version", "said", "expected"),
    [
        (None, "0.33.0", {}, "on"),
        (6.1, "0.33.0", {}, "on"),
        (5.2, "0.33.0", {}, "off"),
        (7.2, "0.33.0", {}, "off"),
        (6.1, "0.33.0", {"flash_attention": "auto"}, "auto"),
        (6.1, "0.33.0", {"flash_attention": "off"}, "off"),
    ],
)
def test_flash_attention_is_on_where_all_gpus_can(capability, version, said, expected):
    card = {"name": "gpu0", "kind": "gpu", "memory_gib": 24, "compute_capability": capability}
    changes = {"hosts.gpus": {"engine": "ollama", "url": "http://x:1", "engine_version": version, "accelerators": [card], **said}}
    fleet = with_written_settings(parse_fleet(intent(changes)))
    assert fleet.hosts["gpus"].flash_attention == expected
    assert settings_of(fleet.models["big"], fleet.hosts["gpus"]).flash_attention == expected


def test_hosts_that_are_not_configured_keep_their_own():
    fleet = parse_fleet(intent({"hosts.gpus.managed": False}))
    assert with_written_settings(fleet) == fleet
    assert changeable(fleet.hosts["gpus"]) == changeable(fleet.hosts["mini"]) == frozenset()


def test_only_what_nobody_said_may_be_changed():
    assert "OLLAMA_KEEP_ALIVE" in changeable(host())
    assert "OLLAMA_KEEP_ALIVE" not in changeable(host(server={"keep_alive": "5m"}))


@pytest.mark.parametrize(
    ("contexts", "expected"),
    [([4096], 4096), ([8192, 4096, 8192], 8192), ([32768, 4096], 4096), ([8192, 4096, 8192, 4096], 4096)],
)
def test_the_server_has_the_context_that_most_models_have(contexts, expected):
    assert common_context(contexts) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("star", 11434)),
        ({"url": "http://star"}, ("star", 80)),
        ({"url": "http://[fd00::1]:11434/"}, ("fd00::1", 11434)),
        ({"listen_address": "192.0.2.7"}, ("192.0.2.7", 11434)),
        # Something with a certificate stands before it.
        ({"url": "https://ollama.example"}, ("127.0.0.1", 11434)),
        ({"url": "http://star:8080/engines/ollama"}, ("127.0.0.1", 11434)),
        ({"managed": False}, (None, None)),
    ],
)
def test_where_it_listens(changes, expected):
    assert listens_on(host(**changes)) == expected


def model(name="gemma4:26b", **changes):
    return Model.model_validate({"source": {"kind": "ollama", "name": name}, "context_tokens": 8192, **changes})


def size(trained=8192, own=()):
    metadata = models()["llama3.2-3b-q4_K_M"]["metadata"] | {"llama.context_length": trained}
    files = ModelFiles(describe(metadata), 2**30, own_options=tuple(own))
    from plugins.module_utils.packing import PredictedDemand

    return Wanted(PredictedDemand(files, settings_of(model(), host())), "header", "test")


@pytest.mark.parametrize(
    ("changes", "wanted", "server", "expected"),
    [
        ({}, None, 8192, None),
        ({}, None, 4096, {"num_ctx": 8192}),
        # Longer than it was trained for: both are cut to the same.
        ({}, size(8192), 32768, None),
        ({}, size(131072), 32768, {"num_ctx": 8192}),
        ({"context_tokens": 16384}, size(8192), 8192, None),
        # Its own Modelfile is above the server.
        ({}, size(own=[("num_ctx", 2048)]), 8192, {"num_ctx": 8192}),
        ({}, size(own=[("num_ctx", 8192)]), 4096, None),
        ({"batch_tokens": 512}, None, 8192, {"num_batch": 512}),
        ({"batch_tokens": 512}, size(own=[("num_batch", 512)]), 8192, None),
        ({"main_gpu": 0}, None, 4096, {"num_ctx": 8192, "main_gpu": 0}),
    ],
)
def test_a_model_is_made_where_the_server_does_not_give_it_what_was_planned(changes, wanted, server, expected):
    found = derived(model(**changes), host(), wanted, {"OLLAMA_CONTEXT_LENGTH": str(server)})
    assert (found and found["parameters"]) == expected
    assert found is None or found["from"] == "gemma4:26b"
    assert derived(model(**changes), host(managed=False), wanted, {"OLLAMA_CONTEXT_LENGTH": str(server)}) is None


def test_a_file_is_always_made_into_a_model():
    file = model(source={"kind": "file", "path": "/models/x.gguf"})
    found = derived(file, host(), None, {"OLLAMA_CONTEXT_LENGTH": "8192"})
    assert found == {"from": None, "parameters": {"num_ctx": 8192}}


@pytest.mark.parametrize(
    ("name", "source", "parameters", "expected"),
    [
        ("m", "gemma4:26b", {"num_ctx": 32768}, "homelab/gemma4:26b-ctx32768"),
        ("m", "gemma4", {"num_ctx": 4096, "num_batch": 512}, "homelab/gemma4:latest-ctx4096-batch512"),
        ("m", "me/gemma4:x", {"main_gpu": 1}, "homelab/me-gemma4:x-gpu1"),
        ("m", "10.0.0.1:5000/me/gemma4:x", {"main_gpu": 1}, "homelab/10.0.0.1-5000-me-gemma4:x-gpu1"),
        ("my model/4k", None, {"num_ctx": 4096}, "homelab/my-model-4k:ctx4096"),
    ],
)
def test_its_name_tells_what_it_is(name, source, parameters, expected):
    kind = {"kind": "ollama", "name": source} if source else {"kind": "file", "path": "/x.gguf"}
    assert derived_name(name, model(source=kind), parameters) == expected


def test_the_plan_tells_names_and_offload():
    found = planned([24], SMALL[:2], [4096, 8192])
    assert [(item["engine_model"], item["full_offload"], item["copy_from"]) for item in found["resident"]] == [
        (SMALL[0], True, None),
        (f"homelab/{SMALL[1]}:latest-ctx8192", True, None),
    ]
    assert found["resident"][1]["derived"] == {"from": SMALL[1], "parameters": {"num_ctx": 8192}}
    assert (found["listen_address"], found["port"]) == ("gpus", 11434)


TWIN = {"engine": "ollama", "url": "http://twin:11434", "accelerators": [{"name": "ram", "kind": "cpu", "memory_gib": 64}]}


def test_the_first_host_fetches_for_the_others():
    changes = {"hosts.twin": TWIN, "llm_assignments.coding": [{"model": "big", "host": name} for name in ("gpus", "twin")]}
    hosts = make_plan(parse_fleet(intent(changes)), "test")["hosts"]
    told = {name: {item["model"]: item["copy_from"] for item in hosts[name]["resident"]} for name in ("gpus", "twin")}
    assert told == {"gpus": {"vectors": None, "big": None}, "twin": {"big": "gpus"}}
    assert [item["full_offload"] for item in hosts["twin"]["resident"]] == [False]
    # Nobody copies from an engine that is never logged into.
    changes["hosts.gpus.managed"] = False
    assert make_plan(parse_fleet(intent(changes)), "test")["hosts"]["twin"]["resident"][0]["copy_from"] is None


@pytest.mark.parametrize("spelling", ["registry.ollama.ai/library/big:30b", "Big:30B"])
def test_however_its_name_is_spelt_a_model_is_fetched_once(spelling):
    same = {**VARIABLES["llm_models"]["big"], "source": {"kind": "ollama", "name": spelling}}
    deployments = [{"model": "big", "host": "gpus"}, {"model": "same", "host": "twin"}]
    changes = {"hosts.twin": TWIN, "llm_models.same": same, "llm_assignments.coding": deployments}
    (resident,) = make_plan(parse_fleet(intent(changes)), "test")["hosts"]["twin"]["resident"]
    assert (resident["engine_model"], resident["copy_from"]) == (spelling, "gpus")


def test_files_are_put_only_into_engines_that_are_managed():
    source = {"kind": "file", "path": "/x.gguf"}
    changes = {"llm_models.big.source": source}
    assert make_plan(parse_fleet(intent(changes)), "test")["hosts"]["gpus"]["resident"][1]["derived"]["from"] is None
    with pytest.raises(IntentError, match="ollama on gpus"):
        parse_fleet(intent({**changes, "hosts.gpus.managed": False}))


def test_one_file_has_one_set_of_settings_on_a_host():
    source = {"kind": "file", "path": "/x.gguf"}
    declared = {"memory_gib": 1, "source": "test"}
    second = {"source": source, "context_tokens": 4096, "declared": declared}
    changes = {
        "llm_models.big.source": source,
        "llm_models.twin": second,
        "llm_assignments.tools_fast": [{"model": "twin", "host": "gpus"}],
    }
    with pytest.raises(IntentError, match=r"/x\.gguf on gpus, which is big's file, with other settings"):
        parse_fleet(intent(changes))
