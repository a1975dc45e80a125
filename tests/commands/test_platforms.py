"""Eighteen simulated platforms: what each role decides for them, and the units, plists and programs that it would write.

The roles run in check mode on the recorded hardware of each platform. What comes out is judged by systemd-analyze and plistlib.
Nothing is installed, and no platform but this one is at hand: docs/platforms.md says what that leaves unverified.
"""

from __future__ import annotations

import configparser
import json
import os
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.commands.command import ROOT
from tests.unit.platforms import NAMES, PLATFORMS

MODEL = {
    "model": "small",
    "engine_model": "small",
    "source": {"kind": "file", "path": "/models/small.gguf"},
    "mode": "chat",
    "context_tokens": 8192,
    "kv_type": "q8_0",
    "parallel": 1,
    "listen_address": "127.0.0.1",
    "port": 8100,
    "load_order": 1,
    # No plan: the hardware alone decides.
    "devices": None,
    "full_offload": None,
}
SETTINGS = {"OLLAMA_KEEP_ALIVE": "-1", "OLLAMA_MAX_LOADED_MODELS": "2", "OLLAMA_CONTEXT_LENGTH": "8192"}
VARIABLES = {
    "ollama": {"ollama_settings": SETTINGS},
    "llama_cpp": {"llama_cpp_install_method": "release", "llama_cpp_models": [MODEL]},
}
# One platform of each service manager.
WATCHED = ("linux-amd64-cpu", "mac-mini-m4-pro", "unprivileged-supervisord")
PROGRAMS = {"ollama": ["bin/ollama", "ollama"], "llama_cpp": ["llama-server"]}


def executable(path: Path, text: str = "#!/bin/sh\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def inventory(engine: str, folder: Path) -> dict[str, object]:
    hosts = {name: {**PLATFORMS[name]["settings"], "platform": PLATFORMS[name], "watched": name in WATCHED} for name in NAMES}
    shared = {
        "engine": engine,
        "ansible_python_interpreter": sys.executable,
        f"{engine}_hardware": {"hardware": "{{ platform.hardware }}"},
        f"{engine}_directory": str(folder / "{{ inventory_hostname }}"),
    }
    return {"platforms": {"hosts": hosts, "vars": {**shared, **VARIABLES[engine]}}}


def play(engine: str, folder: Path) -> dict[str, dict]:
    """What the role decides and would write, by platform; the unit's program is there, so that it can be found."""
    for name in NAMES:
        for program in PROGRAMS[engine]:
            executable(folder / name / "current" / program)
    # launchd's answer for a job that it does not know.
    executable(folder / "bin" / "launchctl", "#!/bin/sh\necho 'Could not find service in domain for system'\nexit 113\n")
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory(engine, folder)), encoding="utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "commands" / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "rendered",
        "RENDERED_FILE": str(folder / "rendered.json"),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
    }
    command = [
        "ansible-playbook",
        "-i",
        str(folder / "hosts.yml"),
        str(ROOT / "tests/commands/platforms.yml"),
        "--check",
        "--diff",
    ]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert (folder / "rendered.json").is_file(), done.stdout + done.stderr
    rendered = json.loads((folder / "rendered.json").read_text(encoding="utf-8"))
    for name, platform in PLATFORMS.items():
        refused = "refusal" in platform["expected"][engine]
        assert bool(rendered[name]["refusal"]) == refused, f"{name}: {rendered[name]['refusal']}\n{done.stdout[-4000:]}"
    return rendered


@pytest.fixture(scope="module")
def ollama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ollama")
    return folder, play("ollama", folder)


@pytest.fixture(scope="module")
def llama_cpp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama_cpp")
    return folder, play("llama_cpp", folder)


def written(host: dict, template: str) -> list[str]:
    """What was made of a template, in order: the engine's first, the watchdog's second."""
    return [text for name, text in host["written"] if name == template]


def program(host: dict) -> configparser.SectionProxy:
    """The engine's program of a supervisord."""
    (text,) = [text for name, text in host["written"] if re.fullmatch(r"homelab-llm-(ollama|llama-cpp.small)\.conf", name)]
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return parser[parser.sections()[0]]


def unit_values(text: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}=")]


def unit_environment(text: str) -> dict[str, str]:
    return dict(json.loads(value.replace("%%", "%")).split("=", 1) for value in unit_values(text, "Environment"))


def environment_of(host: dict, manager: str, template: str = "service.service.j2") -> dict[str, str]:
    if manager == "systemd":
        return unit_environment(written(host, template)[0])
    if manager == "launchd":
        return plistlib.loads(written(host, "service.plist.j2")[0].encode())["EnvironmentVariables"]
    # No value of these platforms has a comma in it.
    return dict(pair.split("=", 1) for pair in shlex.split(program(host)["environment"].replace(",", " ").replace("%%", "%")))


def command_of(host: dict, manager: str, template: str = "service.service.j2") -> list[str]:
    if manager == "systemd":
        return shlex.split(unit_values(written(host, template)[0], "ExecStart")[0])
    if manager == "launchd":
        return plistlib.loads(written(host, "service.plist.j2")[0].encode())["ProgramArguments"]
    return shlex.split(program(host)["command"])


def service_name(host: dict) -> str:
    """Of the one server of llama.cpp; with an @ in it it is an instance, which has a file of its own beside the shared unit."""
    return host["facts"]["llama_cpp_services"][0]["name"]


def own_part(host: dict) -> str:
    return "instance.conf.j2" if "@" in service_name(host) else "service.service.j2"


def accepted(engine: str) -> list[str]:
    return [name for name in NAMES if "refusal" not in PLATFORMS[name]["expected"][engine]]


def refused(engine: str) -> list[str]:
    return [name for name in NAMES if name not in accepted(engine)]


def verify(folder: Path, unit: str) -> None:
    """systemd-analyze's word on a unit; what it says of the system's own units is not ours."""
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"}
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(folder / unit)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "homelab-llm" in line]
    assert (done.returncode, complaints) == (0, []), done.stdout + done.stderr


needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed (Debian: systemd)"
)


@pytest.mark.parametrize("name", accepted("ollama"))
def test_archives_and_manager_of_ollama(ollama, name):
    platform, facts = PLATFORMS[name], ollama[1][name]["facts"]
    archives = platform["settings"].get("ollama_archives", platform["expected"]["ollama"]["archives"])
    assert facts["ollama_chosen_archives"] == archives
    assert facts["service_chosen_manager"] == platform["expected"]["manager"]


@pytest.mark.parametrize("name", refused("ollama"))
def test_a_platform_that_ollama_refuses(ollama, name):
    assert PLATFORMS[name]["expected"]["ollama"]["refusal"] in ollama[1][name]["refusal"]
    assert ollama[1][name]["written"] == []


@pytest.mark.parametrize("name", accepted("ollama"))
def test_environment_and_command_of_ollama(ollama, name):
    folder, hosts = ollama
    platform, manager, home = PLATFORMS[name], PLATFORMS[name]["expected"]["manager"], str(folder / name)
    own = {"HOME": f"{home}/home", "OLLAMA_HOST": "127.0.0.1:11434", "OLLAMA_MODELS": f"{home}/models"}
    fixed = {"OLLAMA_NO_CLOUD": "1", "OLLAMA_NOPRUNE": "1", "HOMELAB_LLM_REVISION": "0"}
    assert environment_of(hosts[name], manager) == {
        **own,
        **fixed,
        **SETTINGS,
        **platform["settings"].get("ollama_environment", {}),
    }
    binary = "ollama" if platform["facts"]["system"] == "Darwin" else "bin/ollama"
    assert command_of(hosts[name], manager) == [f"{home}/current/{binary}", "serve"]


@needs_systemd
@pytest.mark.parametrize("name", [name for name in accepted("ollama") if PLATFORMS[name]["expected"]["manager"] == "systemd"])
def test_systemd_accepts_ollamas_unit(ollama, tmp_path, name):
    (text, *_others) = written(ollama[1][name], "service.service.j2")
    (tmp_path / "homelab-llm-ollama.service").write_text(text, encoding="utf-8")
    verify(tmp_path, "homelab-llm-ollama.service")
    assert unit_values(text, "User") == ["homelab-ollama"]
    # A GPU's devices have to be seen.
    assert unit_values(text, "PrivateDevices") == ["false"]


@needs_systemd
def test_systemd_accepts_the_watchdogs_timer(ollama, tmp_path):
    host = ollama[1]["linux-amd64-cpu"]
    for template, unit in (
        ("service.service.j2", "homelab-llm-ollama-watchdog.service"),
        ("service.timer.j2", "homelab-llm-ollama-watchdog.timer"),
    ):
        (tmp_path / unit).write_text(written(host, template)[-1], encoding="utf-8")
    (tmp_path / "homelab-llm-ollama.service").write_text(written(host, "service.service.j2")[0], encoding="utf-8")
    folder = Path(unit_values(written(host, "service.service.j2")[-1], "WorkingDirectory")[0])
    assert folder.is_dir()
    verify(tmp_path, "homelab-llm-ollama-watchdog.timer")
    assert unit_values(written(host, "service.timer.j2")[0], "OnUnitInactiveSec") == ["30"]


@pytest.mark.parametrize("name", [name for name in accepted("ollama") if PLATFORMS[name]["expected"]["manager"] == "launchd"])
def test_the_plist_of_ollama(ollama, name):
    plist = plistlib.loads(written(ollama[1][name], "service.plist.j2")[0].encode())
    assert plist["Label"] == "llm.homelab.ollama"
    assert (plist["RunAtLoad"], plist["KeepAlive"]) == (True, True)
    assert plist["UserName"] == "homelab-ollama"
    assert plist["StandardErrorPath"].startswith(str(ollama[0] / name))


def test_the_plist_of_the_watchdog(ollama):
    plist = plistlib.loads(written(ollama[1]["mac-mini-m4-pro"], "service.plist.j2")[-1].encode())
    assert (plist["Label"], plist["StartInterval"]) == ("llm.homelab.ollama-watchdog", 30)
    assert "KeepAlive" not in plist


def test_the_watchdog_under_supervisord_waits_itself(ollama):
    texts = dict(ollama[1]["unprivileged-supervisord"]["written"])
    assert "--every 30" in texts["homelab-llm-ollama-watchdog.conf"]


@pytest.mark.parametrize("name", accepted("llama_cpp"))
def test_archives_and_command_of_llama_cpp(llama_cpp, name):
    folder, hosts = llama_cpp
    expected = PLATFORMS[name]["expected"]
    assert hosts[name]["facts"]["llama_cpp_chosen_archives"] == expected["llama_cpp"]["archives"]
    assert hosts[name]["facts"]["service_chosen_manager"] == expected["manager"]
    words = command_of(hosts[name], expected["manager"], own_part(hosts[name]))
    said = dict(pairwise(words))
    assert words[0] == f"{folder / name}/current/llama-server"
    assert (said["--model"], said["--port"], said["--host"]) == ("/models/small.gguf", "8100", "127.0.0.1")
    assert (said["--ctx-size"], said["--cache-type-k"], said["--parallel"]) == ("8192", "q8_0", "1")


@pytest.mark.parametrize("name", refused("llama_cpp"))
def test_a_platform_that_llama_cpp_refuses(llama_cpp, name):
    assert PLATFORMS[name]["expected"]["llama_cpp"]["refusal"] in llama_cpp[1][name]["refusal"]
    assert llama_cpp[1][name]["written"] == []


@needs_systemd
@pytest.mark.parametrize("name", [name for name in accepted("llama_cpp") if PLATFORMS[name]["expected"]["manager"] == "systemd"])
def test_systemd_accepts_llama_cpps_unit(llama_cpp, tmp_path, name):
    host = llama_cpp[1][name]
    service, (unit,) = service_name(host), written(host, "service.service.j2")
    (tmp_path / f"{service.partition('@')[0]}{'@' if '@' in service else ''}.service").write_text(unit, encoding="utf-8")
    if "@" in service:
        (tmp_path / f"{service}.service").symlink_to(f"{service.partition('@')[0]}@.service")
        (tmp_path / f"{service}.service.d").mkdir()
        (tmp_path / f"{service}.service.d" / "instance.conf").write_text(written(host, "instance.conf.j2")[0], encoding="utf-8")
    verify(tmp_path, f"{service}.service")


@pytest.mark.parametrize("name", [name for name in accepted("llama_cpp") if PLATFORMS[name]["expected"]["manager"] == "launchd"])
def test_the_plist_of_llama_cpp(llama_cpp, name):
    plist = plistlib.loads(written(llama_cpp[1][name], "service.plist.j2")[0].encode())
    assert plist["Label"] == f"llm.homelab.{service_name(llama_cpp[1][name]).removeprefix('homelab-llm-')}"
    assert plist["KeepAlive"] is True
