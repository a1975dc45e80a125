"""The module service_info under launchd: a Mac has no process file system, so launchctl, ps and lsof say everything."""

from __future__ import annotations

import plistlib

import pytest

from plugins.module_utils import launchd, process_identity
from tests.module_doors import call_module

PROGRAMS = {
    "launchctl": """case "$2" in
  system/llm.homelab.ollama|system/llm.homelab-other.my-ollama) printf 'x = {\\n\\tstate = running\\n\\tpid = 41\\n}\\n' ;;
  *) echo 'Could not find service "x" in domain for system' >&2; exit 113 ;;
esac""",
    "ps": "echo 'Ss   Sat Nov 21 10:58:01 2026    '",
    "lsof": "printf '%s\\n' p41 f3 tIPv6 'n*:11434'",
}
RUNS = {
    "state": "running",
    "pid": 41,
    "identity": "41:2026-11-21T10:58:01+00:00",
    "started_at": "2026-11-21T10:58:01+00:00",
    "ports": [11434],
}
STOPPED = {"state": "stopped", "pid": None, "identity": None, "started_at": None, "ports": []}


@pytest.fixture
def mac(tmp_path, monkeypatch):
    for name, said in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{said}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(process_identity, "has_process_files", lambda: False)
    monkeypatch.setattr(launchd, "FOLDER", str(tmp_path))
    for name in ("homelab-llm-ollama", "my-ollama", "homelab-llm-gone"):
        label = launchd.label_of(name)
        (tmp_path / f"{label}.plist").write_bytes(plistlib.dumps({"Label": label, "StandardOutPath": f"/logs/{name}.log"}))
    (tmp_path / "com.example.ollama.plist").write_bytes(plistlib.dumps({"Label": "com.example.ollama"}))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("homelab-llm-ollama*", {"homelab-llm-ollama": RUNS}),
        ("my-ollama", {"my-ollama": RUNS}),
        ("*ollama*", {"homelab-llm-ollama": RUNS, "my-ollama": RUNS}),
        ("homelab-llm-gone", {"homelab-llm-gone": STOPPED}),
        ("com.example.ollama", {}),
    ],
)
def test_services_of_launchd_are_found_with_their_ports(mac, pattern, expected):
    found = call_module("service_info", manager="launchd", pattern=pattern)["services"]
    assert {item["name"]: item for item in found} == {
        name: {"name": name, **item, "log": f"/logs/{name}.log"} for name, item in expected.items()
    }
