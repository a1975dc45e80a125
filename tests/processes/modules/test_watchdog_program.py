"""The watchdog's package on a host runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from plugins.module_utils.residency_watchdog import FILES
from tests.module_doors import call_module

SOURCES = Path(__file__).parents[3] / "plugins" / "module_utils"


def test_the_package_has_the_watchdogs_files_and_runs(tmp_path: Path) -> None:
    assert call_module("watchdog_program", directory=str(tmp_path))["changed"] is True
    package = tmp_path / "homelab_llm"
    assert sorted(path.name for path in package.iterdir()) == sorted([*FILES, "__init__.py"])
    assert [name for name in FILES if (package / name).read_bytes() != (SOURCES / name).read_bytes()] == []
    command = [sys.executable, "-m", "homelab_llm.residency_watchdog", "--configuration", "none.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "there is no such file" in done.stderr) == (2, True)
