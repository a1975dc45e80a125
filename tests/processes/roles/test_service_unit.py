"""What the role `service` writes for systemd and launchd: what systemd says of it, and that no argument is changed on its way."""

from __future__ import annotations

import itertools
import json
import plistlib
import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest

TEMPLATES = Path(__file__).parents[3] / "roles/service/templates"
COMMAND = ["/bin/echo", "plain", "a b", "$HOME", "50%", 'a "quote"', "it's", "back\\slash", "<&>"]
VALUES = {
    "service_name": "homelab-llm-test",
    "service_description": "A test at 100%",
    "service_user": "root",
    "service_supplementary_groups": [],
    "service_working_directory": "/tmp",
    "service_environment": {"PLAIN": "1", "SPACED": 'a "b" 50%'},
    "service_environment_file": "/etc/hostname",
    "service_revision": "abc",
    "service_reloads": False,
    "service_writable_paths": ["/var/tmp"],
    "service_private_devices": True,
    "service_locked_memory": False,
    "service_start_timeout_s": 60,
    "service_stop_timeout_s": 30,
    "service_period_s": None,
    "service_wanted_by": "",
    "service_command": COMMAND,
    "service_shared_digest": "0123",
    "service_label": "llm.homelab.test",
    "service_log_file": "/var/log/test.log",
    "service_secrets_command": [],
}
# Kind -> (what differs, the files it is made of: name -> template)
UNIT = {"homelab-llm-test.service": "service.service.j2"}
TIMED = {**UNIT, "homelab-llm-test.timer": "service.timer.j2"}
INSTANCE = {
    "homelab-llm-test@.service": "service.service.j2",
    "homelab-llm-test@one.service.d/instance.conf": "instance.conf.j2",
}
KINDS = {
    "plain": ({}, UNIT),
    "grouped": ({"service_supplementary_groups": ["video", "render"], "service_private_devices": False}, UNIT),
    "locked": ({"service_locked_memory": True}, UNIT),
    "following": ({"service_wanted_by": "homelab-llm-first"}, UNIT),
    "reloading": ({"service_reloads": True}, UNIT),
    "timed": ({"service_period_s": 30}, TIMED),
    "timed and following": ({"service_period_s": 30, "service_wanted_by": "homelab-llm-first"}, TIMED),
    "instance": ({"service_name": "homelab-llm-test@one"}, INSTANCE),
}


def render(template, **changes):
    # As Ansible's: the newline at the end of a template is put back, that of an included one is not.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["to_json"] = json.dumps
    return environment.get_template(template).render({**VALUES, **changes}).rstrip("\n") + "\n"


def write(folder, kind):
    """The files of one kind below a folder; the text of all of them."""
    changes, files = KINDS[kind]
    for name, template in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(render(template, **changes))
    return "".join((folder / name).read_text() for name in files)


def settings(text):
    """NAME=value lines; comments and sections are left out."""
    return [line for line in text.splitlines() if "=" in line and not line.startswith("#")]


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_are_quoted_for_systemd(tmp_path, kind):
    lines = [line for line in write(tmp_path, kind).splitlines() if line.startswith("ExecStart=")]
    assert len(lines) == 1
    words = json.loads("[" + lines[0][len("ExecStart=") :].replace('" "', '", "') + "]")
    assert [word.replace("$$", "$").replace("%%", "%") for word in words] == COMMAND


@pytest.mark.parametrize("kind", KINDS)
def test_no_line_of_a_unit_is_anything_else(tmp_path, kind):
    lines = write(tmp_path, kind).splitlines()
    assert [line for line in lines if line and "=" not in line and line[0] not in "#["] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
@pytest.mark.parametrize("kind", KINDS)
def test_systemd_takes_it(tmp_path, kind):
    write(tmp_path, kind)
    (tmp_path / "homelab-llm-first.service").write_text("[Service]\nExecStart=/bin/true\n")
    for name in KINDS[kind][1]:
        if name.endswith("@.service"):
            # What `systemctl enable` makes; systemd-analyze wants the name that it is given.
            (tmp_path / "homelab-llm-test@one.service").symlink_to(tmp_path / name)
    units = [str(path) for path in sorted(tmp_path.glob("homelab-llm-test*")) if path.is_file() and "@." not in path.name]
    command = ["systemd-analyze", "verify", "--recursive-errors=no", "--man=no", *units]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    about_us = [line for line in (done.stdout + done.stderr).splitlines() if "homelab-llm-" in line]
    assert (units != [], done.returncode, about_us) == (True, 0, [])


# Beginnings of the settings that keep a unit to itself.
SHUT_IN = ("Protect", "Private", "Restrict", "NoNew", "Capability", "Lock", "SystemCall", "UMask", "User=", "ReadWrite", "Limit")


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"plain", "grouped", "locked"}))
def test_every_kind_is_shut_in_alike(tmp_path, kind):
    (tmp_path / "plain").mkdir()
    (tmp_path / "other").mkdir()
    plain, other = write(tmp_path / "plain", "plain"), write(tmp_path / "other", kind)
    assert len([line for line in settings(plain) if line.startswith(SHUT_IN)]) > 20
    assert [line for line in settings(other) if line.startswith(SHUT_IN)] == [
        line for line in settings(plain) if line.startswith(SHUT_IN)
    ]


# (kind, settings that it has, beginnings of settings that it has not)
SAID = [
    (
        "plain",
        ["Type=exec", "Restart=always", "WantedBy=multi-user.target", "After=network-online.target"],
        ["Supplementary", "On", "ExecReload"],
    ),
    ("reloading", ["ExecReload=/bin/kill -HUP $MAINPID", "Restart=always"], []),
    ("grouped", ["SupplementaryGroups=video render", "PrivateDevices=false"], ["LimitMEMLOCK"]),
    ("locked", ["LimitMEMLOCK=infinity"], []),
    (
        "following",
        ["WantedBy=multi-user.target homelab-llm-first.service", "After=network-online.target homelab-llm-first.service"],
        [],
    ),
    (
        "timed",
        [
            "Type=oneshot",
            "OnActiveSec=30",
            "OnUnitInactiveSec=30",
            "AccuracySec=1s",
            "WantedBy=timers.target",
            "StartLimitIntervalSec=0",
        ],
        ["Restart=", "StartLimitBurst", "WantedBy=multi-user"],
    ),
    ("timed and following", ["WantedBy=homelab-llm-first.service", "WantedBy=timers.target"], ["WantedBy=multi-user"]),
    ("instance", ["WantedBy=multi-user.target", "Restart=always", "Description=A test at 100%%"], ["On"]),
]


@pytest.mark.parametrize(("kind", "has", "has_not"), SAID, ids=[case[0] for case in SAID])
def test_a_kind_says_what_it_is(tmp_path, kind, has, has_not):
    lines = settings(write(tmp_path, kind))
    assert [line for line in has if line not in lines] == []
    assert [line for line, beginning in itertools.product(lines, has_not) if line.startswith(beginning)] == []


OWN = {
    "service_description": "Two",
    "service_environment": {"A": "2"},
    "service_revision": "def",
    "service_command": ["/bin/true"],
}


def test_what_is_an_instances_own_is_not_in_what_all_share():
    one = render("service.service.j2", service_name="homelab-llm-test@one")
    assert one == render("service.service.j2", service_name="homelab-llm-test@two", **OWN)
    assert render("instance.conf.j2") != render("instance.conf.j2", **OWN)


def test_an_instance_changes_with_what_all_share():
    assert render("instance.conf.j2", service_shared_digest="1") != render("instance.conf.j2", service_shared_digest="2")


JOBS = {
    "plain": ({}, {"KeepAlive": True, "ThrottleInterval": 2}, {"StartInterval"}),
    "timed": ({"service_period_s": 30}, {"StartInterval": 30}, {"KeepAlive"}),
    "secret": (
        {"service_secrets_command": ["/bin/sh", "-c", 'set -a; . "$0"; set +a; exec "$@"', "/etc/key"]},
        {"ProgramArguments": ["/bin/sh", "-c", 'set -a; . "$0"; set +a; exec "$@"', "/etc/key", *COMMAND]},
        set(),
    ),
}


@pytest.mark.parametrize(("changes", "has", "has_not"), JOBS.values(), ids=JOBS.keys())
def test_launchd_is_told_the_same(changes, has, has_not):
    told = plistlib.loads(render("service.plist.j2", **changes).encode())
    expected = {
        "Label": "llm.homelab.test",
        "ProgramArguments": COMMAND,
        "UserName": "root",
        "WorkingDirectory": "/tmp",
        "EnvironmentVariables": {**VALUES["service_environment"], "HOMELAB_LLM_REVISION": "abc"},
        "RunAtLoad": True,
        "ExitTimeOut": 30,
        "Umask": 0o077,
        "StandardOutPath": "/var/log/test.log",
        "StandardErrorPath": "/var/log/test.log",
    }
    assert {name: told[name] for name in {*expected, *has}} == {**expected, **has}
    assert has_not & set(told) == set()
