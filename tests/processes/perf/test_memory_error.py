"""The measure of the predictor's errors as a program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.unit.measured import MODELS, rows

SCRIPT = Path(__file__).resolve().parents[3] / "perf" / "memory_error.py"


def test_it_runs_from_anywhere_without_any_package(tmp_path: Path) -> None:
    few = tmp_path / "rows.jsonl"
    few.write_text("\n".join(map(json.dumps, rows()[:14])), encoding="utf-8")
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(few), str(MODELS), "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["rows"] == 14
