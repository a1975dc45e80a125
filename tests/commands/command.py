"""Runs ansible-playbook as a user does, in a folder of the test, and keeps what it printed."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Result:
    code: int
    text: str


def playbook(*words: str, cwd: Path) -> Result:
    """``ansible-playbook`` with the clone's configuration; a playbook is named relative to the clone."""
    command = [str(ROOT / word) if word.endswith(".yml") and (ROOT / word).is_file() else word for word in words]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        ["ansible-playbook", *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return Result(done.returncode, done.stdout + done.stderr)
