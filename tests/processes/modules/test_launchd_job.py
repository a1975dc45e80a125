"""The module launchd_job against a launchctl that plays a launchd with one job."""

from __future__ import annotations

import pytest

from tests.module_doors import call_module

LABEL = "llm.homelab.test"
# Keeps the job as files beside it: loaded, disabled, and what was asked for.
LAUNCHCTL = """#!/bin/sh
cd "$(dirname "$0")" && echo "$*" >>asked
case "$1" in
  print) [ -f loaded ] || { echo 'Could not find service "x" in domain for system' >&2; exit 113; }
         printf 'x = {\\n\\tstate = running\\n\\tpid = 42\\n}\\n' ;;
  print-disabled) [ -f disabled ] && echo '"llm.homelab.test" => disabled'; exit 0 ;;
  bootstrap) [ -f broken ] && { echo 'Bootstrap failed: 5: Input/output error' >&2; exit 5; }; touch loaded ;;
  bootout) rm loaded ;;
  enable) rm -f disabled ;;
  disable) touch disabled ;;
esac
"""


@pytest.fixture
def launchctl(tmp_path):
    path = tmp_path / "launchctl"
    path.write_text(LAUNCHCTL)
    path.chmod(0o755)
    return tmp_path


@pytest.fixture
def call(launchctl, monkeypatch):
    monkeypatch.setenv("PATH", f"{launchctl}:/usr/bin:/bin")

    def called(state, check=False, **options):
        """What the module answers; the subcommands that changed something are left in `asked`."""
        (launchctl / "asked").unlink(missing_ok=True)
        arguments = {"label": LABEL, "plist": "/x.plist", "state": state, "start_timeout_s": 2, **options}
        answer = call_module("launchd_job", check, **arguments)
        return answer, [line for line in (launchctl / "asked").read_text().splitlines() if not line.startswith("print")]

    return called


def test_a_job_is_taken_in_and_out(call):
    answer, asked = call("started")
    assert (answer["changed"], answer["state"], answer["pid"], asked) == (True, "running", 42, ["bootstrap system /x.plist"])
    answer, asked = call("started")
    assert (answer["changed"], answer["steps"], asked) == (False, [], [])
    answer, asked = call("absent")
    assert (answer["changed"], answer["state"], answer["pid"], asked) == (True, "absent", None, [f"bootout system/{LABEL}"])
    assert call("absent")[0]["changed"] is False


def test_a_stopped_job_stays_out_until_it_is_started(call):
    call("started")
    assert call("stopped")[1] == [f"bootout system/{LABEL}", f"disable system/{LABEL}"]
    assert call("started")[1] == [f"enable system/{LABEL}", "bootstrap system /x.plist"]


def test_another_property_list_is_read(call):
    call("started")
    assert call("started", reload=True)[1] == [f"bootout system/{LABEL}", "bootstrap system /x.plist"]


def test_check_mode_asks_for_nothing(call):
    answer, asked = call("started", check=True)
    assert (answer["changed"], answer["steps"], answer["state"], asked) == (True, ["bootstrap"], "absent", [])
    assert answer["diff"] == {"before": f"{LABEL}: absent\n", "after": f"{LABEL}: bootstrap\n"}


def test_launchds_words_are_handed_on(call, launchctl):
    (launchctl / "broken").touch()
    answer, _asked = call("started")
    assert answer["failed"] is True
    assert answer["msg"].startswith(
        f"{LABEL}: launchctl bootstrap ended with 5: Bootstrap failed: 5: Input/output error; expected 0."
    )
