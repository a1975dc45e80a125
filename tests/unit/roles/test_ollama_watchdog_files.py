"""The role ollama copies the watchdog's program to hosts: exactly the files that it says it consists of."""

from __future__ import annotations

from pathlib import Path

import yaml

from plugins.module_utils.residency_watchdog import FILES

ROOT = Path(__file__).parents[3]


def test_the_role_copies_the_whole_program() -> None:
    variables = yaml.safe_load((ROOT / "roles" / "ollama" / "vars" / "main.yml").read_text(encoding="utf-8"))
    assert tuple(variables["ollama_watchdog_files"]) == FILES
