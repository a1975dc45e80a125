"""The counts that close a test run are those of its stages."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests import run

JUNIT = """<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure/></testcase>
<testcase name="c"><skipped/></testcase><testcase name="d"><error/></testcase></testsuite></testsuites>"""

MOLECULE = [
    (["INFO     [embedded > converge] Executed: Successful"], 0, (1, 0, 0)),
    (
        ["ERROR    [embedded > converge] \x1b[31mExecuted: Failed\x1b[0m", "WARNING  [e > verify] Executed: Missing playbook"],
        1,
        (0, 2, 0),
    ),
    (["============ 3 passed, 1 skipped in 2.04s ============", "2 failed, 1 passed, 1 error in 1m"], 0, (3, 0, 1)),
    (["2 failed, 1 passed, 1 error in 1.00s"], 1, (1, 3, 0)),
    (["nothing that counts"], 2, (0, 1, 0)),
]


def test_junit_cases_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text(JUNIT, encoding="utf-8")
    assert run.count_junit(path) == run.Count(1, 2, 1)
    assert run.count_sanity(path) == run.Count(0, 1, 0)


@pytest.mark.parametrize(("lines", "code", "expected"), MOLECULE)
def test_molecule_steps_and_the_verifiers_cases_are_counted(lines: list[str], code: int, expected: tuple[int, int, int]) -> None:
    assert run.count_molecule(run.Result(code, lines)) == run.Count(*expected)


def test_a_stage_that_breaks_counts_as_failed_and_the_rest_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken() -> run.Count:
        raise ValueError("no")

    monkeypatch.setattr(run, "WORK", tmp_path)
    monkeypatch.setattr(run, "STAGES", {"broken": broken, "fine": lambda: run.Count(2, 0, 1, broken=("nothing failed",))})
    assert run.main(["broken", "fine"]) == 1
    closing = capsys.readouterr().out.splitlines()[-2:]
    assert closing == ["broken: broken: ValueError: no", "2 passed, 1 failed, 1 skipped"]


def test_what_failed_is_named() -> None:
    lines = [
        "FAILED tests/converged/test_engine.py::test_one[ssh://larch] - no",
        "FAILED - RETRYING: [gamma]: Wait until the proxy is ready (60 retries left).",
        "ERROR    [ollama > verify] Executed: Failed",
        "1 failed in 1.0s",
    ]
    assert run.count_molecule(run.Result(1, lines)).broken == (lines[0], lines[2])
    assert run.count_molecule(run.Result(2, ["no word"], "molecule test")).broken == ("molecule test",)


@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, run.Count(7)), (run.UNAVAILABLE, run.Count(skipped=1)), (1, run.Count(failed=1)), (run.TIMED_OUT, run.Count(7))],
)
def test_engines_that_cannot_be_had_are_skipped_and_broken_builds_are_not(
    monkeypatch: pytest.MonkeyPatch, code: int, expected: run.Count
) -> None:
    monkeypatch.setattr(run, "run", lambda _command, **_limits: run.Result(code))
    monkeypatch.setattr(run, "pytest_stage", lambda *_words, **_limits: run.Count(7))
    assert run.engines() == expected


@pytest.mark.parametrize(
    ("codes", "played", "skipped"),
    [
        ({}, ["ollama", "plain", "systemd"], 0),
        ({"check": run.UNAVAILABLE}, ["plain"], 2),
        ({"tests.ollama_servers": run.UNAVAILABLE}, ["plain", "systemd"], 1),
        ({"tests.ollama_servers": run.TIMED_OUT}, ["plain", "systemd"], 1),
        # A broken build is no reason to skip: the scenario fails and says why.
        ({"tests.ollama_servers": 1}, ["ollama", "plain", "systemd"], 0),
    ],
)
def test_a_scenario_is_skipped_where_what_it_needs_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], codes: dict[str, int], played: list[str], skipped: int
) -> None:
    def answer(command: list[str], **_limits: float) -> run.Result:
        return run.Result(next((code for word, code in codes.items() if word in command), 0), ["there is none"])

    monkeypatch.setattr(run, "run", answer)
    monkeypatch.setattr(run, "NEEDS", {"systemd": (run.CONTAINERS,), "ollama": (run.CONTAINERS, run.OLLAMA)})
    monkeypatch.setattr(run, "molecule_names", lambda _wanted: ["ollama", "plain", "systemd"])
    monkeypatch.setattr(run, "molecule", lambda names: run.Count(passed=len(names)) if names == played else run.Count(failed=1))
    assert run.scenarios() == run.Count(passed=len(played), skipped=skipped)
    assert capsys.readouterr().out.count("skipped: ") == skipped


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("embedded-ollama", None, {"EMBEDDED_OLLAMA_BINARY": "/cache/ollama-0.33.0-abc/bin/ollama"}),
        ("embedded-ollama", "/usr/bin/ollama", {}),
        ("systemd", None, {}),
    ],
)
def test_a_scenario_without_containers_takes_the_engine_that_was_built(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str | None, expected: dict[str, str]
) -> None:
    monkeypatch.delenv(run.BINARY, raising=False)
    if said:
        monkeypatch.setenv(run.BINARY, said)
    lines = ["ollama-0.33.0 is there", "ollama-0.33.0: /cache/ollama-0.33.0-abc"]
    monkeypatch.setattr(run, "run", lambda _command: run.Result(0, lines))
    assert run.engine_of(name) == expected


def test_an_unknown_stage_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["unitt"]) == 2
    assert "unitt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("left_s", "ran"), [(None, ["unit"]), (3600.0, ["unit"]), (60.0, [])], ids=["no-end", "in-time", "too-late"]
)
def test_a_run_that_has_an_end_skips_what_would_come_too_late(
    monkeypatch: pytest.MonkeyPatch, left_s: float | None, ran: list[str]
) -> None:
    done: list[str] = []
    monkeypatch.setitem(run.STAGES, "unit", lambda: done.append("unit") or run.Count(passed=1))
    if left_s is None:
        monkeypatch.delenv(run.END, raising=False)
    else:
        monkeypatch.setenv(run.END, str(time.time() + left_s))
    assert run.stage("unit") == run.Count(passed=len(ran), skipped=1 - len(ran))
    assert done == ran


def test_a_scenario_that_would_come_too_late_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(run.END, str(time.time() + 300))
    assert run.molecule(["systemd", "ollama"]) == run.Count(skipped=2)
