"""The module launchd_job against a launchctl that plays a launchd with one job."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
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


def call(folder, state, check=False, **options):
    """What the module answers; the subcommands that changed something are left in `asked`."""
    (folder / "asked").unlink(missing_ok=True)
    arguments = {
        "label": LABEL,
        "plist": "/x.plist",
        "state": state,
        "start_timeout_s": 2,
        **options,
        "_ansible_check_mode": check,
    }
    script = "import sys; from ansible.module_utils import basic; basic._ANSIBLE_ARGS = sys.argv[1].encode(); "
    profile = "basic._ANSIBLE_PROFILE = 'legacy'; from plugins.modules import launchd_job; launchd_job.main()"
    done = subprocess.run(
        [sys.executable, "-c", script + profile, json.dumps({"ANSIBLE_MODULE_ARGS": arguments})],
        cwd=ROOT, env={"PATH": f"{folder}:/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return json.loads(done.stdout), [line for line in (folder / "asked").read_text().splitlines() if not line.startswith("print")]


def test_a_job_is_taken_in_and_out(launchctl):
    answer, asked = call(launchctl, "started")
    assert (answer["changed"], answer["state"], answer["pid"], asked) == (True, "running", 42, ["bootstrap system /x.plist"])
    answer, asked = call(launchctl, "started")
    assert (answer["changed"], answer["steps"], asked) == (False, [], [])
    answer, asked = call(launchctl, "absent")
    assert (answer["changed"], answer["state"], answer["pid"], asked) == (True, "absent", None, [f"bootout system/{LABEL}"])
    assert call(launchctl, "absent")[0]["changed"] is False


def test_a_stopped_job_stays_out_until_it_is_started(launchctl):
    call(launchctl, "started")
    assert call(launchctl, "stopped")[1] == [f"bootout system/{LABEL}", f"disable system/{LABEL}"]
    assert call(launchctl, "started")[1] == [f"enable system/{LABEL}", "bootstrap system /x.plist"]


def test_another_property_list_is_read(launchctl):
    call(launchctl, "started")
    assert call(launchctl, "started", reload=True)[1] == [f"bootout system/{LABEL}", "bootstrap system /x.plist"]


def test_check_mode_asks_for_nothing(launchctl):
    answer, asked = call(launchctl, "started", check=True)
    assert (answer["changed"], answer["steps"], answer["state"], asked) == (True, ["bootstrap"], "absent", [])
    assert answer["diff"] == {"before": f"{LABEL}: absent\n", "after": f"{LABEL}: bootstrap\n"}


def test_launchds_words_are_handed_on(launchctl):
    (launchctl / "broken").touch()
    answer, _asked = call(launchctl, "started")
    assert answer["failed"] is True
    assert answer["msg"].startswith(
        f"{LABEL}: launchctl bootstrap ended with 5: Bootstrap failed: 5: Input/output error; expected 0."
    )
