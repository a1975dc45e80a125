"""The systemd unit of the role `service`: what systemd itself says of it, and that no argument is changed on its way."""

from __future__ import annotations

import json
import shutil
import subprocess

import jinja2
import pytest

VALUES = {
    "service_name": "homelab-llm-test",
    "service_description": "A test at 100%",
    "service_user": "root",
    "service_working_directory": "/tmp",
    "service_environment": {"PLAIN": "1", "SPACED": 'a "b" 50%'},
    "service_environment_file": "/etc/hostname",
    "service_revision": "abc",
    "service_writable_paths": ["/var/tmp"],
    "service_private_devices": True,
    "service_start_timeout_s": 60,
    "service_stop_timeout_s": 30,
    "service_command": ["/bin/echo", "plain", "a b", "$HOME", "50%", 'a "quote"', "it's", "back\\slash"],
}


@pytest.fixture
def unit(request, tmp_path):
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    environment.filters["to_json"] = json.dumps
    source = request.config.rootpath / "roles/service/templates/service.service.j2"
    path = tmp_path / "homelab-llm-test.service"
    path.write_text(environment.from_string(source.read_text()).render(VALUES))
    return path


def test_arguments_are_quoted_for_systemd(unit):
    line = next(line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
    words = json.loads("[" + line[len("ExecStart=") :].replace('" "', '", "') + "]")
    assert [word.replace("$$", "$").replace("%%", "%") for word in words] == VALUES["service_command"]


def test_no_line_is_left_empty_in_the_service(unit):
    service = unit.read_text().split("[Service]")[1].split("[Install]")[0].strip("\n")
    assert [line for line in service.splitlines() if line and "=" not in line and not line.startswith("#")] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
def test_systemd_takes_the_unit(unit):
    command = ["systemd-analyze", "verify", "--recursive-errors=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    about_us = [line for line in (done.stdout + done.stderr).splitlines() if "homelab-llm-test" in line]
    assert (done.returncode, about_us) == (0, [])
