"""Mistakes in the inventory: each is found, named by its path, and says what was expected and what to do."""

from __future__ import annotations

import pytest

from plugins.plugin_utils.intent import parse_fleet
from plugins.plugin_utils.problems import IntentError, dotted
from tests.unit.fleets import HOSTS, VARIABLES, intent


def problems(changes, **given):
    with pytest.raises(IntentError) as raised:
        parse_fleet(intent(changes, **given))
    return raised.value.problems


def test_a_right_intent_is_read():
    fleet = parse_fleet(intent())
    assert list(fleet.hosts) == ["mini", "gpus"]
    assert fleet.hosts["mini"].address == "mini.lan"
    assert fleet.assignments["coding"][1].host == "mini"


def test_policy_and_router_may_be_left_out():
    fleet = parse_fleet(intent({"llm_policy": None, "llm_router": None}))
    assert (fleet.policy.runs, fleet.router.port) == (3, 4000)


# change -> path of the problem, a word of what was got, a word of what is expected, a word of the remedy
MISTAKES = [
    ({"llm_models.small.context_tokens": "4096"}, "llm_models.small.context_tokens", "'4096' (text)", "integer", "tokens"),
    ({"llm_models.small.context_tokens": -5}, "llm_models.small.context_tokens", "-5", "greater than or equal to 64", ""),
    ({"llm_models.small.parallel": True}, "llm_models.small.parallel", "True", "integer", "sequences"),
    ({"llm_models.small.kv_type": "q9"}, "llm_models.small.kv_type", "q9", "'f16'", ""),
    ({"llm_models.small.contex_tokens": 1}, "llm_models.small.contex_tokens", "contex_tokens", "known key", "context_tokens"),
    ({"llm_models.small.source": {"kind": "zip"}}, "llm_models.small.source", "zip", "ollama", ""),
    ({"llm_models.small.source": {"kind": "file"}}, "llm_models.small.source.path", "nothing", "path", "GGUF"),
    ({"llm_models.small.source": "big"}, "llm_models.small.source", "'big' (text)", "", ""),
    ({"llm_models.small.declared.source": ""}, "llm_models.small.declared.source", "''", "1 character", "come from"),
    ({"llm_models.small.declared.memory_gib": 1}, "llm_models.small.declared", "", "either memory_gib alone", ""),
    ({"llm_models": None}, "llm_models", "nothing", "mapping", "inventory/homelab"),
    ({"llm_models": ["small"]}, "llm_models", "['small']", "mapping", ""),
    ({"llm_models.small": None}, "llm_assignments.coding[1].model", "small", "llm_models", "Known: big, vectors"),
    ({"llm_workloads.coding.prompts": []}, "llm_workloads.coding.prompts", "[]", "at least 1 item", ""),
    ({"llm_workloads.coding.prompts.0.text": ""}, "llm_workloads.coding.prompts[0].text", "''", "1 character", ""),
    ({"llm_workloads.coding.candidates": []}, "llm_workloads.coding.candidates", "[]", "at least 1", "models to choose"),
    ({"llm_workloads.coding.candidates": ["bigg"]}, "llm_workloads.coding.candidates[0]", "bigg", "llm_models", "mean big"),
    ({"llm_workloads.coding.candidates": ["small"]}, "llm_assignments.coding[0].model", "big", "candidates", "candidates"),
    ({"llm_workloads.coding.quality_floor": 1.5}, "llm_workloads.coding.quality_floor", "1.5", "less than or equal", "0-1"),
    ({"llm_workloads.coding.mode": "speech"}, "llm_workloads.coding.mode", "speech", "'chat' or 'embedding'", ""),
    ({"llm_policy.headroom_gib": -1}, "llm_policy.headroom_gib", "-1", "greater than or equal to 0", "free"),
    ({"llm_policy.runs": 0}, "llm_policy.runs", "0", "greater than or equal to 1", ""),
    ({"llm_policy.headroom_gib": float("nan")}, "llm_policy.headroom_gib", "nan", "finite", ""),
    ({"llm_assignments.coding": []}, "llm_assignments.coding", "[]", "at least 1 item", ""),
    ({"llm_assignments.coding.0.host": "gpuz"}, "llm_assignments.coding[0].host", "gpuz", "engines", "Did you mean gpus"),
    ({"llm_assignments.coding.1.host": "gpus"}, "llm_assignments.coding[1].host", "a second time", "another host", ""),
    ({"llm_assignments.codng": [{"model": "big", "host": "gpus"}]}, "llm_assignments.codng", "codng", "llm_workloads", "coding"),
    ({"llm_assignments.embedding.0.model": "big"}, "llm_assignments.embedding[0].model", "for chat", "embedding", ""),
    ({"llm_router.port": 70000}, "llm_router.port", "70000", "65535", ""),
    ({"llm_router.fallbacks": {"coding": ["embedding"]}}, "llm_router.fallbacks.coding[0]", "embedding", "same mode", ""),
    ({"llm_router.fallbacks": {"coding": ["coding"]}}, "llm_router.fallbacks.coding[0]", "again", "another", ""),
    ({"llm_router.fallbacks": {"coding": ["resarch"]}}, "llm_router.fallbacks.coding[0]", "resarch", "assigned", "Known"),
    ({"llm_router.fallbacks": {"coding": []}}, "llm_router.fallbacks.coding", "[]", "at least 1", ""),
    ({"hosts.mini.engine_version": "0.33.0"}, "hosts.mini.llm_host", "", "such as b10488, not '0.33.0'", ""),
    ({"hosts.mini.engine": "vllm"}, "hosts.mini.llm_host.engine", "vllm", "'ollama'", "serves"),
    ({"hosts.mini.base_port": None}, "hosts.mini.llm_host", "", "base_port", ""),
    ({"hosts.gpus.url": None}, "hosts.gpus.llm_host", "", "url", ""),
    ({"hosts.gpus.url": "gpus:11434"}, "hosts.gpus.llm_host.url", "gpus:11434", "http://", "without /v1"),
    ({"hosts.gpus.accelerators": []}, "hosts.gpus.llm_host", "", "accelerators", ""),
    ({"hosts.gpus.accelerators.1.memory_gib": -24}, "hosts.gpus.llm_host.accelerators[1].memory_gib", "-24", "greater", "GiB"),
    ({"hosts.gpus.accelerators.1.memory_gb": 24}, "hosts.gpus.llm_host.accelerators[1].memory_gb", "memory_gb", "known", "gib"),
    ({"hosts.gpus.engine": "external"}, "hosts.gpus.llm_host", "", "managed: false", ""),
    ({"hosts.mini": "star"}, "hosts.mini.llm_host", "'star' (text)", "mapping", ""),
    (
        {"llm_assignments.coding.0.model": "small", "hosts.gpus.managed": False},
        "llm_models.small.source.kind",
        "file",
        "ollama on gpus",
        "gpus",
    ),
    (
        {"llm_models.small.context_tokens": 16384},
        "llm_models.small.context_tokens",
        "16384",
        "at most 8192",
        "silently",
    ),
    ({"llm_models.small.context_tokens": 10**400}, "llm_models.small.context_tokens", "1000", "less than or equal", ""),
    ({"llm_models.big.declared.memory_gib": 1e300}, "llm_models.big.declared.memory_gib", "1e+300", "less than", ""),
    ({"llm_models.small.source.path": "small.gguf"}, "llm_models.small.source.path", "small.gguf", "^/", "absolute"),
    ({"llm_models.small.source": {"path": "/x"}}, "llm_models.small.source", "{'path'", "a mapping with kind", ""),
    ({"llm_models.a b": {}}, "llm_models.a b", "'a b'", "a name of letters", ""),
    ({"hosts.gpus.url": "http://gpus:11434/v1"}, "hosts.gpus.llm_host.url", "/v1", "without /v1", ""),
    ({"hosts.gpus.url": "http://me:word@gpus"}, "hosts.gpus.llm_host.url", "http://…gpus", "without user", ""),
    ({"hosts.gpus.url": "http://gpus/?key=word"}, "hosts.gpus.llm_host.url", "http://gpus/?…", "without user", ""),
    ({"hosts.gpus.url": "http://gpus?"}, "hosts.gpus.llm_host.url", "http://gpus?", "without user", ""),
    ({"hosts.gpus.url": "http://gpus/#v1"}, "hosts.gpus.llm_host.url", "http://gpus/#v1", "without user", ""),
    ({"llm_router.url": "http://a:b@lan"}, "llm_router.url", "http://…lan", "without user", ""),
    ({"hosts.gpus.api_key_variable": "GPUS_KEY"}, "hosts.gpus.llm_host", "", "only for an external host", ""),
    ({"hosts.gpus.api_key_variable": "sk-word"}, "hosts.gpus.llm_host.api_key_variable", "sk-word", "name of a variable", ""),
    ({"hosts.gpus.api_key_variable": "LITELLM_MASTER_KEY"}, "hosts.gpus.llm_host.api_key_variable", "", "own key", ""),
    ({"hosts.gpus.url": "http://:11434"}, "hosts.gpus.llm_host.url", "http://:11434", "with a host", ""),
    ({"hosts.gpus.url": "http://gpus:99999"}, "hosts.gpus.llm_host.url", "99999", "a port up to 65535", ""),
    ({"hosts.gpus.base_port": 8200}, "hosts.gpus.llm_host", "", "without base_port", ""),
    ({"hosts.mini.url": "http://mini"}, "hosts.mini.llm_host", "", "without url", ""),
    ({"hosts.gpus.accelerators.1.name": "gpu0"}, "hosts.gpus.llm_host", "", "names differ", ""),
    ({"hosts.mini.address": "a b; rm"}, "hosts.mini.llm_host.address", "a b; rm", "text of the form", ""),
    ({"hosts.a b": dict(HOSTS["gpus"])}, "hosts.a b", "'a b'", "a name of letters", "Rename"),
    ({"hosts.twin": dict(HOSTS["gpus"])}, "hosts.twin.llm_host.url", "which is gpus's", "of its own", ""),
    ({"llm_assignments": {}}, "llm_assignments", "{}", "at least 1 item", ""),
    ({"llm_router.port": 8100, "llm_router.listen_address": "0.0.0.0"}, "llm_router.port", "8100", "own", "Choose"),
    ({"llm_router.port": 8100, "llm_router.listen_address": "mini.lan"}, "llm_router.port", "8100", "own", "Choose"),
]


@pytest.mark.parametrize(("changes", "path", "got", "expected", "remedy"), MISTAKES, ids=lambda value: str(value)[:60])
def test_a_mistake_is_named(changes, path, got, expected, remedy):
    found = problems(changes)
    named = [problem for problem in found if dotted(problem.path) == path]
    assert named, [dotted(problem.path) for problem in found]
    assert got in named[0].got
    assert expected in named[0].expected
    assert remedy in named[0].remedy


def test_no_engines_and_no_router():
    found = problems({"hosts": {}}, router_hosts=(), groups=("engine",))
    assert [dotted(problem.path) for problem in found] == ["groups.engines", "groups.router"]
    assert "Did you mean engine?" in found[0].remedy


def test_an_unknown_variable_of_ours_is_refused():
    (problem,) = problems({}, unknown_variables=(("llm_model",),))
    assert "Did you mean llm_models?" in problem.remedy


def test_all_mistakes_are_named_at_once():
    changes = {"llm_policy.runs": 0, "llm_models.big.context_tokens": 0, "hosts.mini.engine": "x"}
    assert len(problems(changes)) == 3


@pytest.mark.parametrize("spelling", ["big:30b", "Big:30B", "library/big:30b", "registry.ollama.ai/library/big:30b"])
@pytest.mark.parametrize(
    ("context_tokens", "got", "remedy"),
    [
        (4096, "file, with other settings", "or put one on another host than gpus"),
        (8192, "file", "one model under two names: assign big"),
    ],
)
def test_one_file_under_two_names(spelling, context_tokens, got, remedy):
    source, declared = {"kind": "ollama", "name": spelling}, {"memory_gib": 1, "source": "t"}
    twin = {"source": source, "context_tokens": context_tokens, "declared": declared}
    (problem,) = problems({"llm_models.twin": twin, "llm_assignments.coding.0.model": "twin"})
    assert (dotted(problem.path), problem.got) == ("llm_models.twin", f"{spelling} on gpus, which is big's {got}")
    assert remedy in problem.remedy


def test_one_file_for_chat_and_for_embedding_is_one_in_memory():
    twin = {**VARIABLES["llm_models"]["vectors"], "mode": "chat"}
    (problem,) = problems({"llm_models.twin": twin, "llm_assignments.coding.0.model": "twin"})
    assert "put one on another host than gpus" in problem.remedy


def test_ports_of_two_hosts_on_one_address_must_not_meet():
    other = {**intent().hosts["mini"], "address": "mini.lan"}
    assignments = {"llm_assignments.embedding": [{"model": "vectors", "host": "gpus"}]}
    changes = {"hosts.twin": other, **assignments, "llm_assignments.coding.0": {"model": "small", "host": "twin"}}
    (problem,) = problems(changes)
    assert "8100" in problem.got


def test_a_stray_llm_host_and_a_variable_that_differs_between_hosts_are_refused():
    found = problems({}, stray_hosts=("toaster",), differing=(("llm_policy", "mini", "gpus"),))
    assert [dotted(problem.path) for problem in found] == ["hosts.toaster.llm_host", "hosts.gpus.llm_policy"]
    assert "differs from mini's" in found[1].got


@pytest.mark.parametrize(
    ("path", "text"),
    [(("a", "b", 0), "a.b[0]"), (("a", ""), "a['']"), (("a", "x\ny"), "a['x\\ny']"), (("a", "b c", "d"), "a.b c.d")],
)
def test_paths_are_printed_on_one_line(path, text):
    assert dotted(path) == text
