"""The README's commands and its example: what can run without the hosts runs, the rest is checked for syntax."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.commands.command import ROOT, playbook

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", README, re.S)
COMMANDS = [line[2:] for block in BLOCKS for line in block.splitlines() if line.startswith("$ ansible-playbook -i inventory/")]
PLANNING = [command for command in COMMANDS if "plan.yml" in command]
EXAMPLE = re.findall(r"```yaml\n# (mylab/\S+)\n(.*?)```", README, re.S)


def test_the_readme_has_what_is_tested_here():
    assert (len(COMMANDS), len(PLANNING), len(EXAMPLE)) == (9, 1, 2)
    assert "$ make demo" in README
    assert "$ make test" in README


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme(command, tmp_path):
    """Planning is done for real; the hosts of the example do not exist, so the others are checked for syntax."""
    words = command.split()[1:]
    result = playbook(*words, *([] if command in PLANNING else ["--syntax-check"]), cwd=ROOT)
    assert result.code == 0, result.text


def test_the_complete_example_is_complete(tmp_path):
    for name, content in EXAMPLE:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    result = playbook("-i", str(tmp_path / "mylab"), "playbooks/plan.yml", cwd=tmp_path)
    assert result.code == 0, result.text
    assert (tmp_path / "build" / "mylab" / "plan.yml").is_file()
    assert "qwen3-coder:30b on tower, then small on mini" in result.text


def test_a_drill_that_could_stop_nothing_says_so(tmp_path):
    words = ("-i", "inventory/homelab", "playbooks/drill.yml", "-e", f"llm_build_directory={tmp_path}", "-e", "host=mars")
    result = playbook(*words, cwd=ROOT)
    assert result.code != 0
    assert "Traceback" not in result.text
    assert "got host=mars, expected a managed host whose engine this collection starts: banana" in " ".join(result.text.split())


def test_the_key_is_read_as_it_is(tmp_path):
    """The file is none for a shell: a password in it may be anything that fits on a line."""
    (command,) = re.findall(r"^\$ (.*router\.env\S*)$", README, re.M)
    path = tmp_path / "build/embedded/hosts/gamma/litellm/current/router.env"
    path.parent.mkdir(parents=True)
    path.write_text("# edition 1-2\nLITELLM_MASTER_KEY=sk-it\nREDIS_PASSWORD=a $(touch done) 'b\n", encoding="utf-8")
    asked = ["bash", "-c", f'{command}\necho "$LITELLM_MASTER_KEY"']
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, (tmp_path / "done").exists()) == ("sk-it\n", "", False)
