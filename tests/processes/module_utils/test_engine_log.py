"""What journalctl says of an engine, and what is said where it cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.module_utils.engine_log import journal_lines


def journalctl(folder: Path, script: str) -> None:
    (folder / "journalctl").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / "journalctl").chmod(0o755)


def test_what_journalctl_says_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    journalctl(tmp_path, "echo 'model buffer size = 1 MiB'; echo other")
    assert list(journal_lines("a", 1)) == ["model buffer size = 1 MiB\n"]


@pytest.mark.parametrize(
    ("script", "limit_s", "error"),
    [
        ("echo '1 MiB'; exit 3", 60.0, "journalctl ended with 3 for a"),
        ("echo '1 MiB'; exec sleep 60", 0.0, "journalctl took longer than 0 s for a"),
        (None, 60.0, "No such file"),
    ],
)
def test_a_journal_that_cannot_be_read_is_an_error(
    script: str | None, limit_s: float, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if script:
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        journalctl(tmp_path, script)
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match=error):
        list(journal_lines("a", 1, limit_s))
