"""Broken inventories from the command line: one clear error, an exit code, no traceback, nothing written or started.

The wording of each mistake is tested in tests/unit; here stands that it reaches a person with file and line, and that what
Ansible itself refuses ends the run.
"""

from __future__ import annotations

import shutil

import pytest
import yaml

from tests.commands.command import ROOT, playbook

MODELS, HOSTS = "group_vars/all/models.yml", "hosts.yml"
ASSIGNMENTS, POLICY = "group_vars/all/assignments.yml", "group_vars/all/policy.yml"
WORKLOADS, ROUTER = "group_vars/all/workloads.yml", "group_vars/all/router.yml"


def edited(path, old, new):
    """The lab with one piece of text replaced: a mistake as a person makes it."""

    def change(lab):
        text = (lab / path).read_text(encoding="utf-8")
        assert old in text, f"{path} has no {old!r}"
        (lab / path).write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


STAR_ACCELERATOR = "- {name: metal, kind: unified, memory_gib: 96, reserved_gib: 12, bandwidth_gb_s: 800}"
ROUTER_GROUP = "    router:\n      hosts:\n"
BANANA = "http://banana.lan:11434\n            engine_version: 0.33.0\n"
PROMPTS = "    prompts:\n      - id: tools_fast-1\n        text: >-"


def written(path, content):
    def change(lab):
        (lab / path).write_bytes(content)

    return change


def written_new(path, text):
    def change(lab):
        (lab / path).parent.mkdir(exist_ok=True)
        (lab / path).write_text(text, encoding="utf-8")

    return change


# name -> change, words that have to be in the output
BROKEN = {
    "wrong type": (edited(MODELS, "context_tokens: 32768", "context_tokens: many"), "models.yml:7: llm_models.gpt-oss:120b"),
    "text for a number": (edited(POLICY, "runs: 3", 'runs: "3"'), "policy.yml:4: llm_policy.runs"),
    "negative headroom": (edited(POLICY, "0.5", "-0.5"), "greater than or equal to 0"),
    "unknown key": (edited(MODELS, "context_tokens: 32768", "context: 32768"), "the key 'context'; expected a known key"),
    "unknown key of a host": (edited(HOSTS, "engine: ollama", "engine: ollama\n            gpu: 1"), "hosts.yml:17: hosts.star"),
    "unknown engine": (edited(HOSTS, "engine: ollama", "engine: olama"), "hosts.yml:16: hosts.star.llm_host.engine"),
    "a set that would be evicted": (
        edited(HOSTS, BANANA, f"{BANANA}            server: {{max_loaded_models: 2}}\n"),
        "OLLAMA_MAX_LOADED_MODELS=3 in the engine's environment (llm_host.server.max_loaded_models: 3",
    ),
    "unknown model in an assignment": (edited(ASSIGNMENTS, "nemotron-3-nano:4b", "nemotron:4b"), "mean nemotron-3-nano"),
    "unknown host in an assignment": (edited(ASSIGNMENTS, "host: banana", "host: bananna"), "mean banana?"),
    "alias without a workload": (edited(ASSIGNMENTS, "  coding:", "  codng:"), "Did you mean coding?"),
    "alias twice": (edited(ASSIGNMENTS, "  coding:", "  research:"), "research"),
    "deployment twice": (edited(ASSIGNMENTS, "host: clementine", "host: banana"), "banana a second time"),
    "no deployments": (written(ASSIGNMENTS, b"llm_assignments: {coding: []}\n"), "at least 1 item"),
    "no assignments": (written(ASSIGNMENTS, b"---\n{}\n"), "llm_assignments: got nothing"),
    "empty candidates": (edited(WORKLOADS, "    grader:", "    candidates: []\n    grader:"), "candidates: got []"),
    "unknown candidate": (edited(WORKLOADS, "    grader:", "    candidates: [gpt]\n    grader:"), "the model gpt"),
    "no prompts": (edited(WORKLOADS, PROMPTS, "    prompts: []\n    x: >-"), "prompts"),
    "objective without a limit": (edited(WORKLOADS, ", limit: 10}", "}"), "a value for limit"),
    "negative memory": (edited(HOSTS, "memory_gib: 96", "memory_gib: -96"), "greater than 0"),
    "nothing left for models": (edited(HOSTS, "reserved_gib: 12", "reserved_gib: 96"), "a budget of -0.5 GiB"),
    "no accelerators": (edited(HOSTS, STAR_ACCELERATOR, "[]"), "accelerators"),
    "no url": (edited(HOSTS, "            url: http://star.lan:11434\n", ""), "an ollama host with url"),
    "bad url": (edited(HOSTS, "http://star.lan:11434", "star.lan:11434"), "hosts.yml:17: hosts.star.llm_host.url"),
    "port out of range": (edited(ROUTER, "port: 4000", "port: 400000"), "router.yml:5: llm_router.port"),
    "fallback to nowhere": (edited(ROUTER, "[reasoning_slow]", "[reasoning_slo]"), "Did you mean reasoning_slow?"),
    "fallback of another kind": (edited(ROUTER, "[reasoning_slow]", "[embedding]"), "which is for embedding"),
    "overcommitted host": (edited(MODELS, "memory_gib: 24", "memory_gib: 44"), "= 54.8 GiB"),
    "misspelt variable": (edited(POLICY, "llm_policy:", "llm_polcy:"), "Did you mean llm_policy?"),
    "misspelt group": (edited(HOSTS, "    engines:", "    engine:"), "Groups found: engine"),
    "two routers": (edited(HOSTS, ROUTER_GROUP, f"{ROUTER_GROUP}        star:\n"), "exactly one host"),
    "no router": (edited(HOSTS, f"{ROUTER_GROUP}        clementine:\n", ""), "groups.router: got no hosts"),
    "a host with its own policy": (written_new("host_vars/banana.yml", "llm_policy: {headroom_gib: 14}\n"), "from star's"),
    "a reserved name": (written_new("group_vars/engines.yml", "llm_plan: {a: 1}\n"), "llm_plan: got a variable of this name"),
    "not UTF-8": (written(MODELS, b"llm_models:\n  \xff\xfe: 1\n"), "models.yml"),
    "not YAML": (written(MODELS, b"llm_models: {a: [}\n"), "YAML parsing failed"),
    "hosts not YAML": (written(HOSTS, b"all: {children: [}\n"), "hosts.yml"),
    "empty hosts": (written(HOSTS, b"---\nall: {}\n"), "groups.engines: got no hosts"),
    "key twice": (edited(POLICY, "  runs: 3", "  runs: 3\n  runs: 4"), "runs"),
}  # fmt: skip


@pytest.fixture
def lab(tmp_path):
    return shutil.copytree(ROOT / "inventory" / "homelab", tmp_path / "lab")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_inventory(name, lab, tmp_path):
    change, words = BROKEN[name]
    change(lab)
    result = playbook("-i", str(lab), "site.yml", cwd=tmp_path)
    assert result.code != 0, result.text
    assert words in " ".join(result.text.split()), result.text
    assert "Traceback" not in result.text
    assert not (tmp_path / "build").exists(), "something was written"
    assert "PLAY [Install" not in result.text


def test_the_unbroken_inventory_plans_without_reaching_a_host(lab, tmp_path):
    result = playbook("-i", str(lab), "playbooks/plan.yml", cwd=tmp_path)
    assert result.code == 0, result.text
    plan = yaml.safe_load((tmp_path / "build" / "lab" / "plan.yml").read_text(encoding="utf-8"))
    assert list(plan["hosts"]) == ["star", "cranberry", "banana", "clementine"]
    again = playbook("-i", str(lab), "playbooks/plan.yml", cwd=tmp_path)
    assert "changed=0" in again.text


def test_the_plan_is_the_whole_fleets_whatever_the_limit(lab, tmp_path):
    result = playbook("-i", str(lab), "playbooks/plan.yml", "--limit", "banana", cwd=tmp_path)
    assert result.code == 0, result.text
    plan = yaml.safe_load((tmp_path / "build" / "lab" / "plan.yml").read_text(encoding="utf-8"))
    assert len(plan["hosts"]) == 4


def test_a_check_writes_nothing(lab, tmp_path):
    result = playbook("-i", str(lab), "playbooks/plan.yml", "--check", "--diff", cwd=tmp_path)
    assert result.code == 0, result.text
    assert not (tmp_path / "build").exists()


def test_the_published_lab_is_refused_with_its_sum(tmp_path):
    result = playbook("-i", str(ROOT / "tests/fixtures/article"), "playbooks/plan.yml", cwd=tmp_path)
    text = " ".join(result.text.split())
    assert result.code != 0
    assert "gemma4:latest 10.0 GiB + gemma4:26b 20.0 GiB + qwen3.5:35b 24.0 GiB = 54.0 GiB" in text
    assert "at most 44.0 GiB" in text
    assert "hosts.cranberry" in text
    assert "Traceback" not in text
    assert not (tmp_path / "build").exists()
