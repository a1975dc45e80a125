"""A stage follows its commands to their end."""

from __future__ import annotations

import sys

import pytest

from tests import run


@pytest.mark.parametrize(
    ("script", "code", "lines"),
    [
        ("print('one'); print('two')", 0, ["one", "two"]),
        ("import sys; print('bad', file=sys.stderr); sys.exit(3)", 3, ["bad"]),
        ("import time; print('slow', flush=True); time.sleep(60)", 124, ["slow"]),
    ],
)
def test_a_command_is_followed_to_its_end_or_its_limit(
    monkeypatch: pytest.MonkeyPatch, script: str, code: int, lines: list[str]
) -> None:
    monkeypatch.setattr(run, "QUIET_S", 0.1)
    result = run.run([sys.executable, "-c", script], limit_s=1.0)
    assert (result.code, result.lines) == (code, lines)


def test_a_missing_command_is_a_failure_and_not_a_crash() -> None:
    assert run.run(["no-such-command-here"]).count == run.Count(failed=1)
