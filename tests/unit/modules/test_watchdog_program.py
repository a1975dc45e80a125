"""The watchdog's package on a host: exactly its files, with their texts, and nothing written without need."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.module_doors import call_module


def answered(directory: Path, **options: Any) -> dict[str, Any]:
    return call_module("watchdog_program", directory=str(directory), **options)


def test_a_package_that_is_there_is_left_alone(tmp_path: Path) -> None:
    first = answered(tmp_path)
    (tmp_path / "homelab_llm" / "__pycache__").mkdir()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "homelab_llm").iterdir()}
    again = answered(tmp_path)
    assert (again["changed"], again["digest"]) == (False, first["digest"])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "homelab_llm").iterdir()} == before


def older(package: Path) -> None:
    (package / "events.py").write_text("")


def lacking(package: Path) -> None:
    (package / "stream.py").unlink()


def foreign(package: Path) -> None:
    (package / "of_an_older_version.py").write_text("")


@pytest.mark.parametrize("spoil", [older, lacking, foreign, shutil.rmtree])
def test_another_package_is_put_right_but_not_in_check_mode(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    package = tmp_path / "homelab_llm"
    digest = answered(tmp_path)["digest"]
    spoil(package)
    spoiled = sorted(path.name for path in package.iterdir()) if package.is_dir() else None
    checked = answered(tmp_path, check_mode=True)
    assert (checked["changed"], checked["digest"]) == (True, digest)
    assert (sorted(path.name for path in package.iterdir()) if package.is_dir() else None) == spoiled
    assert answered(tmp_path)["changed"] is True
    assert answered(tmp_path)["changed"] is False


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = answered(tmp_path / "file")
    assert answer["failed"] is True
    assert "file/homelab_llm" in answer["msg"]
