"""What was never there is removed without a change and without a complaint."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.commands.command import playbook


def test_nothing_to_remove_is_no_change(tmp_path: Path) -> None:
    settings = {"place": tmp_path / "place", "ansible_python_interpreter": sys.executable}
    words = [word for name, value in settings.items() for word in ("-e", f"{name}={value}")]
    done = playbook("-i", "localhost,", "tests/commands/absent.yml", *words, cwd=tmp_path)
    assert done.code == 0, done.text
    assert re.search(r"localhost +: ok=\d+ +changed=0 +unreachable=0 +failed=0 ", done.text), done.text
    assert list(tmp_path.iterdir()) == []
    for role in ("llama_cpp", "ollama", "litellm"):
        assert f"TASK [homelab.llm.{role} : Remove]" in done.text
