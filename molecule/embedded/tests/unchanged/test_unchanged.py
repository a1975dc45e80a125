"""After the second converge, and after check mode on another intent: the very same processes and files."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests import lab


def digests() -> dict[str, str]:
    """Every file that the lab's hosts keep, what a running process writes by itself apart."""
    found = {}
    for path in (lab.BUILD / "hosts").rglob("*"):
        living = path.suffix in (".log", ".pyc", ".lock") or "site-packages" in path.parts
        if path.is_file() and not path.is_symlink() and not living:
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def change_intent(inventory: Path) -> None:
    """Another context for one model, and one more alias."""
    models = inventory / "group_vars" / "all" / "models.yml"
    models.write_text(
        models.read_text(encoding="utf-8").replace("context_tokens: 4096", "context_tokens: 2048"), encoding="utf-8"
    )
    for name, variable in (("workloads", "llm_workloads"), ("assignments", "llm_assignments")):
        path = inventory / "group_vars" / "all" / f"{name}.yml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        content[variable]["coding_again"] = content[variable]["coding"]
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def site(inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        "ansible-playbook", "-i", str(inventory), "site.yml", *arguments,
        "-e", f"llm_build_directory={lab.BUILD}", "-e", f"embedded_base_port={lab.PORTS.start}",
    ]  # fmt: skip
    env = {**os.environ, "ANSIBLE_CONFIG": str(lab.ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(command, cwd=lab.ROOT, env=env, check=False, capture_output=True, text=True, timeout=300)


def test_a_second_converge_restarts_nothing() -> None:
    assert lab.identities() == lab.recorded()


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], subprocess.CompletedProcess[str]]:
    """Files before, and the run of site.yml --check --diff on the changed intent."""
    inventory = tmp_path_factory.mktemp("changed") / "embedded"
    shutil.copytree(lab.ROOT / "inventory" / "embedded", inventory)
    change_intent(inventory)
    before = digests()
    return before, site(inventory, "--check", "--diff")


def test_check_mode_shows_what_would_change(
    rehearsal: tuple[dict[str, str], subprocess.CompletedProcess[str]],
) -> None:
    shown = rehearsal[1]
    assert shown.returncode == 0, shown.stdout[-4000:] + shown.stderr[-2000:]
    added = [line for line in shown.stdout.splitlines() if line.lstrip().startswith("+")]
    assert any("2048" in line for line in added), "the new context is in no diff"
    assert any("coding_again" in line for line in added), "the new alias is in no diff"
    assert lab.master_key() not in shown.stdout + shown.stderr


def test_check_mode_touches_nothing(rehearsal: tuple[dict[str, str], subprocess.CompletedProcess[str]]) -> None:
    assert lab.identities() == lab.recorded()
    assert digests() == rehearsal[0]


def test_the_hosts_keep_something_to_compare() -> None:
    assert len(digests()) >= 3
