"""The collection as others get it: built, installed into an empty folder, and run from there."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.commands.command import ROOT
from tests.commands.test_readme import EXAMPLE

# Nothing of the working copy may help; what finds the package registries and the tools may.
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
CLUTTER = ("tests/", "molecule/", "build/", "tools/", ".", "Makefile", "pyproject.toml", "requirements-dev")
NAMED = {
    "module": {path.stem for path in (ROOT / "plugins" / "modules").glob("[a-z]*.py")},
    "filter": {path.stem for path in (ROOT / "plugins" / "filter").glob("[a-z]*.py")},
    "role": {path.parent.parent.name for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")},
}


def run(*words: str, cwd: Path) -> str:
    """A command in a folder that is not the clone's, with the installed collection alone."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {"ANSIBLE_COLLECTIONS_PATH": "collections", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(cwd / "home")}
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """The collection's archive, made of the tracked files as they are now."""
    folder = tmp_path_factory.mktemp("artifact")
    source = folder / "source"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(path.read_bytes())
    run("ansible-galaxy", "collection", "build", "--output-path", str(folder), str(source), cwd=folder)
    return next(folder.glob("homelab-llm-*.tar.gz"))


@pytest.fixture(scope="module")
def lab(artifact, tmp_path_factory):
    """A folder with the installed collection and the README's example."""
    folder = tmp_path_factory.mktemp("lab")
    run("ansible-galaxy", "collection", "install", str(artifact), "-p", "collections", cwd=folder)
    for name, content in EXAMPLE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def test_the_artifact_has_no_links_and_no_clutter(artifact):
    with tarfile.open(artifact) as archive:
        members = archive.getmembers()
    assert [member.name for member in members if not (member.isfile() or member.isdir())] == []
    assert [member.name for member in members if member.name.startswith(CLUTTER)] == []
    assert {"playbooks/site.yml", "roles/llama_cpp/tasks/main.yml", "inventory/embedded/hosts.yml"} <= {
        member.name for member in members
    }


def test_the_installed_collection_plans(lab):
    shown = run("ansible-playbook", "homelab.llm.plan", "-i", "mylab", cwd=lab)
    assert "qwen3-coder:30b on tower, then small on mini" in shown
    assert (lab / "build" / "mylab" / "plan.yml").is_file()
    assert str(ROOT) not in shown


def test_the_installed_playbooks_find_all_they_name(lab):
    names = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
    shown = run("ansible-playbook", *(f"homelab.llm.{name}" for name in names), "-i", "mylab", "--syntax-check", cwd=lab)
    assert {"audit", "benchmark", "deploy", "drill", "install", "plan", "site", "verify"} <= set(names)
    assert shown.count("playbook: ") == len(names)


def test_the_installed_audit_runs_without_ansible(lab):
    (lab / "config.yaml").write_text("model_list: []\n", encoding="utf-8")
    words = ("-m", "ansible_collections.homelab.llm.plugins.plugin_utils.audit", "../config.yaml", "--threshold", "none")
    assert "model-list-missing" in run(sys.executable, *words, cwd=lab / "collections")


@pytest.mark.parametrize("kind", NAMED)
def test_ansible_doc_shows_everything(lab, kind):
    listed = run("ansible-doc", "--type", kind, "--list", "homelab.llm", cwd=lab)
    found = {
        line.split()[0].removeprefix("homelab.llm.").rstrip(":")
        for line in listed.splitlines()
        if line.startswith("homelab.llm.")
    }
    assert found
    assert found == NAMED[kind]
    shown = run("ansible-doc", "--type", kind, *(f"homelab.llm.{name}" for name in sorted(NAMED[kind])), cwd=lab)
    heads = {line.split()[2].strip("*") for line in shown.splitlines() if line.startswith("> ")}
    assert heads == {f"homelab.llm.{name}" for name in NAMED[kind]}


def test_this_is_run_by_the_interpreter_of_the_tests():
    """A wrong `ansible-playbook` first on the path would test something else."""
    found = subprocess.run(["which", "ansible-playbook"], capture_output=True, text=True, check=True).stdout.strip()
    assert Path(found).parent == Path(sys.executable).parent
