"""Another user for an Ollama that is there: its store, its keys and what its watchdog saw become that one's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.commands.command import playbook


@pytest.mark.parametrize(
    ("user", "taken"),
    # A user that every system has, and one that the run would make first.
    [("daemon", ["models", "home", "state"]), ("homelab-not-here", [])],
)
def test_a_check_says_what_changes_hands(user: str, taken: list[str], tmp_path: Path) -> None:
    place = tmp_path / "ollama"
    (tmp_path / "disk").mkdir()
    for name in ("home/.ollama", "state"):
        (place / name).mkdir(parents=True)
    (place / "home" / ".ollama" / "id_ed25519").write_text("")
    (place / "models").symlink_to(tmp_path / "disk")
    settings = {"ollama_directory": place, "ollama_user": user, "ansible_python_interpreter": sys.executable}
    words = [word for name, value in settings.items() for word in ("-e", f"{name}={value}")]
    done = playbook("-i", "localhost,", "tests/commands/configure.yml", "--check", *words, cwd=tmp_path)
    assert done.code == 0, done.text
    task = done.text.partition("TASK [homelab.llm.ollama : Take over what is there]")[2].partition("TASK [")[0]
    assert [name for name in ("models", "home", "state") if f"changed: [localhost] => (item={place}/{name})" in task] == taken
