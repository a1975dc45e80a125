"""Runs ansible-playbook and ansible as a user does, and keeps what they printed."""

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


def ansible(module: str, arguments: str, env: dict[str, str] | None = None) -> Result:
    """``ansible localhost -m MODULE -a ARGUMENTS`` with the clone's configuration."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", **(env or {})}
    command = ["ansible", "localhost", "-m", module, "-a", arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return Result(done.returncode, done.stdout + done.stderr)
