"""A log is read over its rotations, and nothing that tells of memory is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.module_utils.engine_log import file_lines, journal_command, telling
from plugins.module_utils.engine_memory import load_reports

LOGS = [
    path for path in sorted((Path(__file__).parents[2] / "fixtures" / "engine_logs").glob("*.log")) if "config" not in path.name
]


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_what_is_left_out_tells_nothing(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert load_reports(telling(lines)) == load_reports(lines) != []


def test_requests_are_left_out() -> None:
    assert list(telling(["slot print_timing: id  0 | task 0 | prompt eval time = 285.34 ms", "srv update_slots: all idle"])) == []


def test_rotated_files_come_first(tmp_path: Path) -> None:
    for name, number in (("a.log.2", 1), ("a.log.1", 2), ("a.log", 3)):
        (tmp_path / name).write_text(f"load {number} MiB\nnothing\n", encoding="utf-8")
    assert [line.strip() for line in file_lines(str(tmp_path / "a.log"))] == ["load 1 MiB", "load 2 MiB", "load 3 MiB"]


def test_a_log_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(file_lines(str(tmp_path / "a.log")))


@pytest.mark.parametrize(("pid", "end"), [(None, ["500000"]), (17, ["500000", "_PID=17"])])
def test_the_journal_is_asked_of_one_unit(pid: int | None, end: list[str]) -> None:
    words = journal_command("homelab-llm-llama-cpp-a", pid)
    assert words[:3] == ["journalctl", "--unit", "homelab-llm-llama-cpp-a.service"]
    assert words[words.index("--lines") + 1 :] == end
