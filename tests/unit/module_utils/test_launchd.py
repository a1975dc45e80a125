"""What launchctl prints, read as data, and what is asked of it. The texts follow macOS 12 to 15; nothing here ran there."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from plugins.module_utils import launchd
from plugins.module_utils.launchd import Job, Wanted, decide, is_disabled, is_unknown, parse_print
from tests.unit.any_text import any_text

RUNNING = """system/llm.homelab.ollama = {
\tactive count = 1
\tpath = /Library/LaunchDaemons/llm.homelab.ollama.plist
\ttype = LaunchDaemon
\tstate = running

\tprogram = /opt/homelab-llm/ollama/current/bin/ollama
\targuments = {
\t\t/opt/homelab-llm/ollama/current/bin/ollama
\t\tserve
\t\tpid = 7
\t}

\tworking directory = /opt/homelab-llm/ollama

\tstdout path = /opt/homelab-llm/ollama/services/logs/homelab-llm-ollama.log
\tstderr path = /opt/homelab-llm/ollama/services/logs/homelab-llm-ollama.log
\tdefault environment = {
\t\tPATH => /usr/bin:/bin:/usr/sbin:/sbin
\t}

\tenvironment = {
\t\tOLLAMA_HOST => 127.0.0.1:11434
\t\tXPC_SERVICE_NAME => llm.homelab.ollama
\t}

\tdomain = system
\tusername = homelab-ollama
\tminimum runtime = 2
\texit timeout = 30
\truns = 1
\tpid = 4711
\timmediate reason = speculative
\tforks = 12
\texecs = 1
\tinitialized = 1
\ttrampolined = 1
\tstarted suspended = 0
\tproxy started suspended = 0
\tlast exit code = (never exited)

\tevent triggers = {
\t}

\tspawn type = daemon (3)
\tjetsam priority = 40
\tproperties = keepalive | runatload | inferred program
}
"""
ENDED = RUNNING.replace("\tstate = running", "\tstate = spawn scheduled").replace("\tpid = 4711\n", "")
WAITING = """system/llm.homelab.ollama-watchdog = {
\tactive count = 0
\tstate = not running

\tendpoints = {
\t\t"other" = {
\t\t\tstate = active
\t\t}
\t}
\truns = 9
\tlast exit code = 0
\trun interval = 30 seconds
}
"""
PRINTED = [
    ("running", RUNNING, Job("running", 4711, None)),
    ("ended", ENDED.replace("(never exited)", "78: EX_CONFIG"), Job("spawn scheduled", None, 78)),
    ("killed", ENDED.replace("(never exited)", "-9"), Job("spawn scheduled", None, -9)),
    ("waiting", WAITING, Job("not running", None, 0)),
    ("nothing", "", Job("unknown", None, None)),
]


@pytest.mark.parametrize(("text", "job"), [case[1:] for case in PRINTED], ids=[case[0] for case in PRINTED])
def test_a_job_is_read(text, job):
    assert parse_print(text) == job


FAILURES = [
    (113, 'Could not find service "llm.homelab.x" in domain for system\n', True),
    (113, 'Bad request.\nCould not find service "llm.homelab.x" in domain for system\n', True),
    (3, "Boot-out failed: 3: No such process\n", True),
    (5, "Could not print service: 5: Input/output error\n", False),
    (1, "Not privileged to signal service.\n", False),
]


@pytest.mark.parametrize(("code", "said", "unknown"), FAILURES, ids=[str(case[:2])[:30] for case in FAILURES])
def test_an_unknown_job_is_told_from_a_failure(code, said, unknown):
    assert is_unknown(code, said) is unknown


DISABLED = """disabled services = {
\t\t"com.openssh.sshd" => disabled
\t\t"llm.homelab.old" => true
\t\t"llm.homelab.ollama" => enabled
\t\t"llm.homelab.older" => false
\t}
login item associations = {
\t}
"""


@pytest.mark.parametrize(
    ("label", "disabled"),
    [
        ("com.openssh.sshd", True),
        ("llm.homelab.old", True),
        ("llm.homelab.ollama", False),
        ("llm.homelab.older", False),
        ("x", False),
    ],
)
def test_an_override_is_read(label, disabled):
    assert is_disabled(DISABLED, label) is disabled


RUNS, WAITS, LOADED = Job("running", 7, None), Job("not running", None, 0), Job("spawn scheduled", None, 1)
# (state, periodic, reload, job, disabled, steps)
STEPS = [
    ("started", False, True, None, False, ["bootstrap"]),
    ("started", False, False, None, True, ["enable", "bootstrap"]),
    ("started", False, False, RUNS, False, []),
    ("started", False, True, RUNS, False, ["bootout", "bootstrap"]),
    ("started", False, False, LOADED, False, ["kickstart"]),
    ("started", True, False, WAITS, False, []),
    ("started", True, True, WAITS, False, ["bootout", "bootstrap"]),
    ("stopped", False, False, RUNS, False, ["bootout", "disable"]),
    ("stopped", False, True, None, False, ["disable"]),
    ("stopped", False, False, None, True, []),
    ("absent", False, False, RUNS, False, ["bootout"]),
    ("absent", True, False, None, True, ["enable"]),
    ("absent", False, False, None, False, []),
]


# (reload, job, steps)
HANG_UPS = [
    (False, RUNS, ["kill"]),
    (True, RUNS, ["bootout", "bootstrap"]),
    (False, LOADED, ["kickstart"]),
    (False, None, ["bootstrap"]),
]


@pytest.mark.parametrize(("reload", "job", "steps"), HANG_UPS, ids=range(len(HANG_UPS)))
def test_only_a_job_that_goes_on_is_told_to_reload(reload, job, steps):
    assert decide(Wanted("started", False, reload, hangup=True), job, False) == steps


@pytest.mark.parametrize(("state", "periodic", "reload", "job", "disabled", "steps"), STEPS, ids=range(len(STEPS)))
def test_steps_lead_to_the_state(state, periodic, reload, job, disabled, steps):
    assert decide(Wanted(state, periodic, reload), job, disabled) == steps


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("homelab-llm-ollama", "llm.homelab.ollama"),
        ("homelab-llm-llama-cpp@a.b", "llm.homelab.llama-cpp@a.b"),
        ("homelab-llm-", "llm.homelab."),
        ("my-ollama", "llm.homelab-other.my-ollama"),
        ("homelab-llm", "llm.homelab-other.homelab-llm"),
    ],
)
def test_names_and_labels_are_each_others(name, label):
    assert (launchd.label_of(name), launchd.name_of(label), role_label(name)) == (label, name, label)


@pytest.mark.parametrize("label", ["com.openssh.sshd", "llm.homelab", "homelab-llm-ollama"])
def test_a_label_of_others_is_no_service(label):
    assert launchd.name_of(label) is None


@given(st.sampled_from(["", launchd.NAME_PREFIX, launchd.LABEL_PREFIX, launchd.OTHER_PREFIX]), any_text())
def test_every_name_comes_back_from_its_label(prefix, text):
    name = prefix + text
    assert launchd.name_of(launchd.label_of(name)) == name


def role_label(name):
    """The label that the role `service` writes."""
    variables = yaml.safe_load((Path(__file__).parents[3] / "roles/service/vars/main.yml").read_text())
    return jinja2.Template(variables["service_label"]).render(service_name=name)
