"""The second proof in the plan: sets that fit but would not stay are refused with what mends them; what stays says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.module_utils.memory import ModelFiles
from plugins.module_utils.model_shape import describe
from plugins.plugin_utils.admission import Loading, ServerSettings
from plugins.plugin_utils.admission_intent import candidate, engine_host, footprint, measuring, server_settings
from plugins.plugin_utils.fit import budgets, size_of
from plugins.plugin_utils.fleet import Host, Model, Policy
from plugins.plugin_utils.intent import Intent, parse_fleet
from plugins.plugin_utils.plan import make_plan
from plugins.plugin_utils.plan_admission import environment
from plugins.plugin_utils.plan_document import PlanDocument
from plugins.plugin_utils.plan_table import plan_table
from plugins.plugin_utils.problems import IntentError
from tests import yaml_text
from tests.unit.fleets import intent
from tests.unit.measured import models

ROOT = Path(__file__).parents[3]
SMALL = ("llama3.2-3b-q4_K_M", "qwen2.5-0.5b-q4_K_M", "smollm2-135m-f16", "lfm2-1.2b-q4_K_M")
FOREVER = {"keep_alive": -1}


def find(model):
    found = models()[model.source.name]
    return ModelFiles(describe(found["metadata"], found["tensors_summary"]), found["file_size"]), "test"


def lab(gib, names, contexts=4096, *, server=None, version=None, managed=False, **settings):
    """An Ollama host with GPUs of so many GiB and models of the development set; m0, m1 … each serve one alias.

    Its environment is as it was said: nobody configures it.
    """
    cards = [{"name": f"gpu{index}", "kind": "gpu", "memory_gib": size} for index, size in enumerate(gib)]
    said = {"engine": "ollama", "managed": managed, "url": "http://gpus:11434", "accelerators": cards}
    changes = {
        "hosts.gpus": {**said, **({"server": server} if server else {}), **({"engine_version": version} if version else {})}
    }
    each = [contexts] * len(names) if isinstance(contexts, int) else contexts
    for index, (name, context) in enumerate(zip(names, each, strict=True)):
        more = {key: value[index] if isinstance(value, list) else value for key, value in settings.items()}
        changes[f"llm_models.m{index}"] = {"source": {"kind": "ollama", "name": name}, "context_tokens": context, **more}
        mode = more.get("mode", "chat")
        changes[f"llm_workloads.w{index}"] = {"description": "d", "mode": mode, "prompts": [{"id": "one", "text": "x"}]}
    changes["llm_assignments"] = {f"w{index}": [{"model": f"m{index}", "host": "gpus"}] for index in range(len(names))}
    return parse_fleet(intent(changes))


def planned(*args, **more):
    document = make_plan(lab(*args, **more), "test", find)
    PlanDocument.model_validate(document)
    return document["hosts"]["gpus"]


def refused(*args, **more):
    with pytest.raises(IntentError) as raised:
        make_plan(lab(*args, **more), "test", find)
    return str(raised.value)


@pytest.mark.parametrize(
    ("names", "contexts", "more", "words"),
    [
        # Three for each accelerator, in total.
        (SMALL, 4096, {"server": FOREVER}, ("evict one", "OLLAMA_MAX_LOADED_MODELS=4", "llm_host.server.max_loaded_models: 4")),
        (SMALL, 4096, {"version": "0.24.0"}, ("evict one", "OLLAMA_MAX_LOADED_MODELS=4", "OLLAMA_KEEP_ALIVE=-1")),
        # Five of six layers keep 512 or 1,024 tokens; the engine counts the whole context for all of them.
        (
            ("gemma3-4b-q4_K_M", "gemma4-e4b-q4_K_M"),
            131072,
            {"server": FOREVER},
            ("over 80 % of the", "num_ctx=65536", "llm_models.m1.context_tokens: 65536"),
        ),
        # 23.4 of 23.5 GiB, but llama-server keeps 1 GiB of its own free.
        (
            ("qwen3-30b-a3b-2507-q4_K_M",),
            58000,
            {"server": FOREVER},
            ("leave a part in RAM", "LLAMA_ARG_FIT_TARGET=512", "llm_host.server.fit_target_mib: 512"),
        ),
    ],
)
def test_a_set_that_fits_but_would_not_stay_is_refused_with_what_mends_it(names, contexts, more, words):
    text = refused([24], names, contexts, **more)
    assert "hosts.gpus.llm_host: got a resident set that fits, of which Ollama would" in text
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(
    ("gib", "names", "contexts", "more"),
    [
        ([24], SMALL[:3], 4096, {}),
        ([24], SMALL, 4096, {"server": {"max_loaded_models": 4}}),
        ([24], SMALL, 4096, {"server": {"max_loaded_models": 4}, "version": "0.24.0"}),
        ([24], ("gemma3-4b-q4_K_M", "gemma4-e4b-q4_K_M"), [131072, 65536], {}),
        ([24], ("qwen3-30b-a3b-2507-q4_K_M",), 58000, {"server": {"fit_target_mib": 512}}),
        # Latent attention: 131,072 tokens take 3.9 GiB, the engine counts 1.7.
        ([24], ("deepseek-v2-lite-16b-q4_K_M", "llama3.2-3b-q4_K_M"), [131072, 16384], {}),
        ([24, 24], ("qwen3-30b-a3b-2507-q4_K_M", "gpt-oss-20b-mxfp4", "qwen3-4b-2507-q4_K_M"), 16384, {}),
    ],
)
def test_what_was_asked_for_is_what_keeps_them(gib, names, contexts, more):
    """The same sets as above with the mend: only the timer is missing, and with it nothing is."""
    left = planned(gib, names, contexts, **more)["admission"]
    assert (left["stays"], left["verdict"]) == (False, "expires")
    assert [(item["setting"], item["value"], item["variable"]) for item in left["mend"]["changes"]] == [
        ("OLLAMA_KEEP_ALIVE", -1, "llm_host.server.keep_alive")
    ]
    kept = planned(gib, names, contexts, **{**more, "server": {**more.get("server", {}), **FOREVER}})["admission"]
    assert (kept["stays"], kept["verdict"], kept["mend"]) == (True, "stays", None)
    assert kept["settings"] == left["settings"]


def test_an_order_in_which_all_stay_is_taken():
    """With the largest first there is no place for the last; the other way round each finds its own."""
    host = planned([16, 12], ("gpt-oss-20b-mxfp4", "gemma2-9b-q4_K_M", "gemma3-4b-q4_K_M"), 8192, server=FOREVER)
    assert host["admission"]["stays"]
    assert host["admission"]["load_order"] == ["m2", "m1", "m0"]
    assert {item["model"]: item["load_order"] for item in host["resident"]} == {"m0": 3, "m1": 2, "m2": 1}


def test_compressed_attention_that_no_setting_keeps_is_refused_with_a_way_out():
    """12.4 + 10.2 of 23.5 GiB; but beside gpt-oss 80 % of what is free are less than the file of the other."""
    text = refused([24], ("gpt-oss-20b-mxfp4", "deepseek-v2-lite-16b-q4_K_M"), server=FOREVER)
    assert "over 80 % of the" in text
    assert "Serve one of them with llama.cpp, which evicts nothing" in text
    assert "Tried without success: another order of loading" in text


@pytest.mark.parametrize(("pins", "words"), [([0, 0], "main_gpu="), ([7, 7], "main_gpu=")])
def test_a_pin_that_does_not_help_is_moved_or_lifted(pins, words):
    text = refused([16, 16], ("gpt-oss-20b-mxfp4", "gemma2-9b-q4_K_M"), 8192, server=FOREVER, main_gpu=pins)
    assert words in text.partition("All stay with")[2]
    assert planned([16, 16], ("gpt-oss-20b-mxfp4", "gemma2-9b-q4_K_M"), 8192, server=FOREVER)["admission"]["stays"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"server": {"keep_alive": "abc"}}, "keep_alive"),
        ({"server": {"keep_alive": "5 minutes"}}, "keep_alive"),
        ({"version": "banana"}, "an engine_version such as 0.33.0 or 0.33.0-rc1, without a v, not 'banana'"),
        ({"version": "v0.33.0"}, "without a v, not 'v0.33.0'"),
        ({"version": "0.33.0 nightly"}, "not '0.33.0 nightly'"),
        ({"version": "0.33.0\n"}, "an engine_version such as"),
        ({"version": "0.33.0/../../x"}, "not '0.33.0/../../x'"),
    ],
)
def test_what_ollama_would_not_understand_is_refused(changes, words):
    with pytest.raises(IntentError, match=words):
        lab([24], SMALL[:1], **changes)


@pytest.mark.parametrize("said", [-1, 60, "5m", "1h30m", "-1", "2.5s"])
def test_durations_are_understood(said):
    assert planned([24], SMALL[:1], server={"keep_alive": said})["admission"]["stays"] is not None


def test_figures_that_are_no_sums_are_marked():
    fleet = parse_fleet(intent({"hosts.gpus.server": FOREVER}))
    text = plan_table(make_plan(fleet, "test"))
    assert "20.00 declared" in text
    assert "declared, at most" in text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"parallel": [1, 2]}, ("parallel on one Ollama (m0 1, m1 2)", "OLLAMA_NUM_PARALLEL")),
        ({"kv_type": ["f16", "q8_0"]}, ("kv_type on one Ollama (m0 f16, m1 q8_0)", "OLLAMA_KV_CACHE_TYPE")),
    ],
)
def test_what_one_engine_has_once_is_asked_once(settings, words):
    text = refused([24], SMALL[:2], **settings)
    assert [word for word in words if word not in text] == []


def test_embeddings_are_served_one_at_a_time_whatever_the_others_are():
    names = ("qwen3-4b-2507-q4_K_M", "embeddinggemma-300m-bf16")
    fleet = lab([24], names, [4096, 2048], server=FOREVER, mode=["chat", "embedding"], parallel=[2, 1])
    assert make_plan(fleet, "test", find)["hosts"]["gpus"]["admission"]["settings"]["OLLAMA_NUM_PARALLEL"] == "2"


@pytest.mark.parametrize(
    ("version", "stays", "rules"),
    [("0.33.0", True, "eighty percent"), ("0.24.0", True, "measured layout"), ("0.3.0", None, "none")],
)
def test_the_version_decides_by_which_rules(version, stays, rules):
    said = planned([24], SMALL[:2], server=FOREVER, version=version)["admission"]
    assert (said["stays"], said["rules"].startswith(rules)) == (stays, True)
    assert said["engine_version"] == version
    assert not any("is taken" in note for note in said["notes"])


def test_a_version_that_nobody_said_is_named():
    assert "engine_version is not said: 0.33.0 is taken" in planned([24], SMALL[:2])["admission"]["notes"]


def test_the_table_says_what_is_missing():
    text = plan_table(make_plan(lab([24], SMALL[:2]), "test", find))
    assert "stays once OLLAMA_KEEP_ALIVE=-1 is set: m0 leaves after 300 s" in text
    text = plan_table(make_plan(lab([24], SMALL[:2], server=FOREVER), "test", find))
    assert "stays in memory: the scheduler of Ollama 0.33.0 evicts none of them" in text


def test_an_old_card_has_no_flash_attention_in_some_versions():
    """Without it the cache of scores grows with the context: a P40 needs more than a newer card of its size."""

    def total(capability, version):
        card = {"name": "gpu0", "kind": "gpu", "memory_gib": 24, "compute_capability": capability}
        host = Host.model_validate({"engine": "ollama", "url": "http://x:1", "accelerators": [card], "engine_version": version})
        return engine_host(host, budgets(host, Policy())).accelerators[0].compute_capability

    assert [total(number, "0.31.0") for number in (6.1, 12.0, None)] == [(6, 1), (12, 0), None]


HOST = Host.model_validate(
    {
        "engine": "ollama",
        "url": "http://x:1",
        "flash_attention": "on",
        "server": {"keep_alive": "5m", "sched_spread": True, "gpu_overhead_mib": 256, "context_length": 8192},
        "accelerators": [
            {"name": "gpu0", "kind": "gpu", "memory_gib": 24, "reserved_gib": 1, "backend": "rocm"},
            {"name": "ram", "kind": "cpu", "memory_gib": 64, "reserved_gib": 4},
        ],
    }
)


def test_a_host_in_the_engines_words():
    found = engine_host(HOST, budgets(HOST, Policy()))
    assert [(item.name, item.library, item.total_mib, item.free_mib) for item in found.accelerators] == [
        ("gpu0", "rocm", 24 * 1024, 23 * 1024)
    ]
    assert found.ram_free_mib == 60 * 1024


def test_the_environment_with_which_it_stays():
    assert environment(server_settings(HOST, 2, "q8_0")) == {
        "OLLAMA_NUM_PARALLEL": "2",
        "OLLAMA_CONTEXT_LENGTH": "8192",
        "OLLAMA_KEEP_ALIVE": "5m",
        "OLLAMA_SCHED_SPREAD": "1",
        "OLLAMA_FLASH_ATTENTION": "1",
        "OLLAMA_KV_CACHE_TYPE": "q8_0",
        "OLLAMA_GPU_OVERHEAD": str(256 * 2**20),
    }
    assert environment(ServerSettings()) == {}


def wanted(name, **changes):
    source = {"kind": "ollama", "name": name}
    return Model.model_validate({"source": source, "context_tokens": 8192, **changes})


def sized(name, **changes):
    model = wanted(name, **changes)
    return model, size_of(name, model, HOST, find)


def test_a_model_in_the_engines_words():
    model, size = sized("deepseek-v2-lite-16b-q4_K_M", batch_tokens=512, main_gpu=0)
    found = candidate("m", "engine:model", model, size)
    assert (found.name, found.blob, found.family, found.is_embedding) == ("m", "engine:model", "deepseek2", False)
    assert (found.options.num_ctx, found.options.num_batch, found.options.main_gpu) == (8192, 512, 0)
    assert (found.shape.block_count, found.shape.head_count_kv, found.shape.context_length) == (27, 1, 163840)
    assert found.file_bytes == models()["deepseek-v2-lite-16b-q4_K_M"]["file_size"]


LOADING = Loading(context_tokens=8192, parallel=1, batch_tokens=512, accelerators=1, flash_attention=True, kv_cache_type="f16")


@pytest.mark.parametrize("name", ["llama3.2-3b-q4_K_M", "gemma3-4b-q4_K_M", "qwen3.5-9b-q4_K_M", "deepseek-v2-lite-16b-q4_K_M"])
def test_layers_and_graph_are_the_whole_of_a_load(name):
    _model, size = sized(name)
    (pool,) = [pool for pool in budgets(HOST, Policy()) if pool.kind != "cpu"]
    measure = measuring({name: size}, [pool])
    found = measure(candidate(name, name, wanted(name), size), LOADING)
    assert sum(found.layers_mib) + found.graph_mib == pytest.approx(found.device_mib)
    assert found.process_mib == 500
    # The cache of the layers without a window, which the log's second line hides.
    expected = {"gemma3-4b-q4_K_M": 5 * 2 * 4 * 256 * 2 * 8192 / 2**20}.get(name, 0)
    assert found.unseen_mib == expected


def test_settings_that_no_engine_takes_are_left_to_its_own_estimate():
    name = "llama3.2-3b-q4_K_M"
    _model, size = sized(name)
    bad = Loading(8192, 1, 512, 1, False, "q8_0")
    assert measuring({name: size}, budgets(HOST, Policy()))(candidate(name, name, wanted(name), size), bad) is None
    assert footprint(size.demand, LOADING, ()).cpu_mib > 0


def article(assignments, keep=None):
    """The published lab with other assignments; hosts that serve nothing are left out."""
    root = ROOT / "tests/fixtures/article"
    hosts = yaml_text.read((root / "hosts.yml").read_text(encoding="utf-8"))["all"]["children"]["engines"]["hosts"]
    said = {
        f"llm_{part}": yaml_text.read((root / f"group_vars/all/{part}.yml").read_text(encoding="utf-8"))[f"llm_{part}"]
        for part in ("models", "workloads", "policy")
    }
    replaced = {"qwen3.5:35b-coding": 22.0, "gemma4:audited": 10.8}
    for name, gib in replaced.items():
        source = {"kind": "ollama", "name": name}
        said["llm_models"][name] = {
            "source": source,
            "context_tokens": 4096,
            "declared": {"memory_gib": gib, "source": "memory audit, before"},
        }
    aliases = list(said["llm_workloads"])
    chosen = {
        alias: [{"model": model, "host": host}]
        for alias, (host, model) in zip([name for name in aliases if name != "embedding"], assignments, strict=False)
    }
    used = {host: {"llm_host": dict(hosts[host]["llm_host"])} for host, _model in assignments}
    for item in used.values():
        item["llm_host"].update({"managed": False, **({"server": keep} if keep else {})})
    return Intent(
        variables={**said, "llm_assignments": chosen, "llm_router": {"port": 4000}},
        hosts={host: item["llm_host"] for host, item in used.items()},
        addresses={host: host for host in used},
        router_hosts=(next(iter(used)),),
    )


BANANA, STAR, CRANBERRY = (
    [("banana", name) for name in ("qwen3.5:9b", "nemotron-3-nano:4b")],
    [("star", "gpt-oss:120b")],
    [("cranberry", name) for name in ("gemma4:latest", "gemma4:26b", "qwen3.5:35b")],
)


@pytest.mark.parametrize(
    ("assignments", "words"),
    [
        ([("banana", "gemma4:audited"), ("banana", "qwen3.5:9b")], ("10.8 GiB", "7.5 GiB", "= 18.3 GiB", "at most 14.0 GiB")),
        ([("star", "gpt-oss:120b"), ("star", "qwen3.5:35b-coding")], ("65.0 GiB", "22.0 GiB", "= 87.0 GiB")),
        (CRANBERRY, ("10.0 GiB", "20.0 GiB", "24.0 GiB", "= 54.0 GiB", "at most 44.0 GiB")),
    ],
)
def test_what_the_article_overcommitted_is_refused_with_the_arithmetic(assignments, words):
    with pytest.raises(IntentError) as raised:
        make_plan(parse_fleet(article(assignments)), "article")
    assert [word for word in words if word not in str(raised.value)] == []


@pytest.mark.parametrize(("assignments", "host"), [(BANANA, "banana"), (STAR, "star")])
def test_the_articles_final_sets_fit_and_the_plan_says_which_setting_is_missing(assignments, host):
    said = make_plan(parse_fleet(article(assignments)), "article")["hosts"][host]
    assert said["free_mib"] > 0
    assert [(item["setting"], item["value"]) for item in said["admission"]["mend"]["changes"]] == [("OLLAMA_KEEP_ALIVE", -1)]
    assert any("declared" in note for note in said["admission"]["notes"])
    assert make_plan(parse_fleet(article(assignments, FOREVER)), "article")["hosts"][host]["admission"]["stays"] is True
