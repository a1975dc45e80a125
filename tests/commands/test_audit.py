"""`ansible-playbook playbooks/audit.yml -e litellm_config=FILE`: a configuration on disk, with and without an inventory."""

from __future__ import annotations

import codecs
import json
import shutil

import pytest

from tests.commands.command import ROOT, playbook

AUDIT = "playbooks/audit.yml"
FIXTURES = ROOT / "tests" / "fixtures" / "router"
KEYS = ["rule", "severity", "path", "line", "got", "expected", "why", "mend", "versions"]
RIGHT = """\
model_list:
  - model_name: fast
    litellm_params: {model: openai/m, api_base: http://star:8080/v1, api_key: none, timeout: 30}
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY  # from the unit
"""


@pytest.fixture
def folder(tmp_path):
    for name in ("article_first.yaml", "article_final.yaml"):
        shutil.copy(FIXTURES / name, tmp_path)
    (tmp_path / "right.yaml").write_text(RIGHT, encoding="utf-8")
    return tmp_path


def test_a_foreign_configuration_without_an_inventory(folder):
    done = playbook(AUDIT, "-e", "litellm_config=article_first.yaml", "-e", "litellm_version=1.82.6", cwd=folder)
    assert done.code == 2, done.text
    findings = json.loads((folder / "build" / "audit.json").read_text(encoding="utf-8"))
    assert {tuple(item) for item in findings} == {tuple(KEYS)}
    order = next(item for item in findings if item["rule"] == "order-ignored")
    assert (order["severity"], order["line"], order["versions"]) == ("error", 26, "up to 1.82.6")
    assert "What survives" in done.text
    assert f"{sum(item['severity'] == 'error' for item in findings)} errors" in done.text
    report = json.loads((folder / "build" / "audit.sarif").read_text(encoding="utf-8"))
    assert len(report["runs"][0]["results"]) == len(findings)


def test_a_right_one_passes_and_a_second_run_changes_nothing(folder):
    words = (AUDIT, "-e", "litellm_config=right.yaml", "-e", "threshold=warning")
    first, second = playbook(*words, cwd=folder), playbook(*words, cwd=folder)
    assert (first.code, second.code) == (0, 0), first.text
    assert "changed=1" in first.text
    assert "changed=0" in second.text
    assert json.loads((folder / "build" / "audit.json").read_text(encoding="utf-8")) == []


def test_check_mode_writes_nothing(folder):
    done = playbook(
        AUDIT, "-e", "litellm_config=article_final.yaml", "-e", "fix=write", "--check", "-e", "threshold=none", cwd=folder
    )
    assert done.code == 0, done.text
    assert not (folder / "build").exists()
    assert (folder / "article_final.yaml").read_bytes() == (FIXTURES / "article_final.yaml").read_bytes()


def test_mends_are_written_where_that_is_asked_for(folder):
    done = playbook(AUDIT, "-e", "litellm_config=article_first.yaml", "-e", "fix=write", "-e", "threshold=none", cwd=folder)
    assert done.code == 0, done.text
    text = (folder / "article_first.yaml").read_text(encoding="utf-8")
    assert "ollama/embeddinggemma" in text
    assert "# The configuration of the LLM-router article as published" in text


def test_a_link_keeps_leading_to_its_file_and_a_mark_stays(folder):
    (folder / "shared.yaml").write_bytes(codecs.BOM_UTF8 + (FIXTURES / "article_first.yaml").read_bytes())
    (folder / "config.yaml").symlink_to("shared.yaml")
    done = playbook(AUDIT, "-e", "litellm_config=config.yaml", "-e", "fix=write", "-e", "threshold=none", cwd=folder)
    assert done.code == 0, done.text
    assert (folder / "config.yaml").is_symlink()
    written = (folder / "shared.yaml").read_bytes()
    assert written.startswith(codecs.BOM_UTF8)
    assert b"ollama/embeddinggemma" in written


def test_an_inventory_tells_that_the_models_do_not_fit(folder):
    inventory = str(ROOT / "tests" / "fixtures" / "article")
    done = playbook(AUDIT, "-i", inventory, "-e", "litellm_config=article_final.yaml", cwd=folder)
    assert done.code == 2, done.text
    findings = json.loads((folder / "build" / "article" / "audit.json").read_text(encoding="utf-8"))
    memory = [item for item in findings if item["rule"] == "memory-overcommitted"]
    assert [("54.0 GiB" in item["got"], "44.0 GiB" in item["expected"]) for item in memory] == [(True, True)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "expected the path of a LiteLLM config.yaml"),
        (("-e", "litellm_config=nowhere.yaml"), "nowhere.yaml cannot be read"),
        (("-e", "litellm_config=broken.yaml"), "cannot be read: line"),
        (("-e", "litellm_config=right.yaml", "-e", "litellm_version=newest"), "got the LiteLLM version 'newest'"),
        (("-e", "litellm_config=right.yaml", "-e", "litellm_stack=right.yaml"), "has no service with an image of LiteLLM"),
    ],
    ids=["nothing", "no-file", "no-yaml", "no-version", "no-stack"],
)
def test_what_cannot_be_audited_is_said_in_words(folder, words, said):
    (folder / "broken.yaml").write_text("{", encoding="utf-8")
    done = playbook(AUDIT, *words, cwd=folder)
    assert done.code == 2
    assert said in " ".join(done.text.split())
    assert "Traceback" not in done.text
