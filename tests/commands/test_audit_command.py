"""The audit for people without Ansible: the package that pre-commit installs, in an environment with nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.commands.command import ROOT

FIXTURES = ROOT / "tests" / "fixtures" / "router"
UV = Path(sys.executable).parent / "uv"


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the package, built of the tracked files as they are now."""
    folder = tmp_path_factory.mktemp("audit")
    listed = run("git", "ls-files", "-z", cwd=ROOT).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file() and not source.is_symlink() and not name.startswith(("tests/", "roles/", "molecule/")):
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / "source" / name)
    for words in (("venv", "--python", sys.executable, "env"), ("pip", "install", "--python", "env/bin/python", "./source")):
        done = run(UV, *words, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder / "env" / "bin"


def test_it_brings_pyyaml_and_nothing_else(scripts: Path) -> None:
    listed = json.loads(run(UV, "pip", "list", "--format", "json", "--python", scripts / "python", cwd=scripts).stdout)
    assert {item["name"].lower() for item in listed} == {"homelab-llm-audit", "pyyaml"}


@pytest.mark.parametrize(("release", "code", "rule"), [("1.82.6", 1, "order-ignored"), ("1.109.1", 1, "master-key-missing")])
def test_the_article(scripts: Path, tmp_path: Path, release: str, code: int, rule: str) -> None:
    done = run(scripts / "homelab-llm-audit", "--litellm-version", release, FIXTURES / "article_first.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (code, "")
    assert f"  {rule} (LiteLLM: " in done.stdout


def test_a_right_configuration_passes(scripts: Path, tmp_path: Path) -> None:
    done = run(scripts / "homelab-llm-audit", "--threshold", "warning", FIXTURES / "right" / "merges.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_that_is_none_is_one_clear_error(scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: [", encoding="utf-8")
    done = run(scripts / "homelab-llm-audit", "config.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "line 2, column 1: " in done.stderr


def test_the_hook_s_files() -> None:
    """The entry is the package's command, and the pattern takes what people call these files."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert hook["entry"] in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    taken = ["litellm_config.yaml", "deploy/litellm.yml", "litellm/config.yaml", "stacks/litellm/prod/config.yml"]
    left = ["config.yaml", "compose.yml", "docs/litellm.md", "notlitellm.yaml"]
    assert [name for name in taken + left if re.search(hook["files"], name)] == taken
