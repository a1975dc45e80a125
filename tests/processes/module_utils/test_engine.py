"""The receipt that engine_info gives, and with what a server runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils import engine
from tests.processes.module_utils.test_resident_engine import TAGS, Script
from tests.scripted_engine import ScriptedEngine, nobody

LINE = 'time=x msg="server config" env="map[OLLAMA_KEEP_ALIVE:5m0s HTTP_PROXY:secret]"\n'


def test_an_ollama_tells_what_it_has() -> None:
    with ScriptedEngine(Script()) as server:
        found = engine.engine_receipt("ollama", server.url, "a")
    assert (found["resident"], found["available"]) == (True, ["a:latest", "b:1"])
    assert [item["size_bytes"] for item in found["installed"]] == [5, 7]
    assert len(found["installed"]) == len(TAGS)


@pytest.mark.parametrize("kind", ["ollama", "llama_cpp"])
def test_without_a_model_nobody_is_resident(kind: str) -> None:
    with ScriptedEngine(Script() if kind == "ollama" else None) as server:
        found = engine.engine_receipt(kind, server.url)
    assert (found["resident"], found["error"]) == (None, None)


def test_other_engines_have_no_store() -> None:
    with ScriptedEngine() as server:
        found = engine.engine_receipt("llama_cpp", server.url, "m")
    assert (found["resident"], found["available"], found["installed"]) == (True, ["m"], None)


@pytest.mark.parametrize("broken", [True, False])
def test_an_engine_that_does_not_answer(broken: bool) -> None:
    if broken:
        with ScriptedEngine(Script(**{"/api/tags": None})) as server:
            found = engine.engine_receipt("ollama", server.url, "a")
    else:
        with nobody() as url:
            found = engine.engine_receipt("ollama", url, "a")
    assert (found["error"]["kind"], found["available"], found["installed"]) == ("http" if broken else "connect", None, None)


def test_the_settings_of_a_process_and_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(f"{LINE}{LINE.replace('5m0s', '1h0m0s')}other\n")
    variables = {**os.environ, "OLLAMA_HOST": "a", "OLLAMA_API_KEY": "secret"}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=variables) as process:
        # The child may be a copy of this process until it is the program that it was told to be.
        while Path(f"/proc/{process.pid}/cmdline").read_bytes().count(b"input()") == 0:
            pass
        found = engine.engine_settings(process.pid, None, str(tmp_path / "a.log"))
        process.kill()
    assert found["environment"]["OLLAMA_HOST"] == "a"
    assert found["effective"] == {"OLLAMA_KEEP_ALIVE": "1h0m0s"}
    assert "secret" not in str(found)


@pytest.mark.parametrize("log", [None, "/nowhere/a.log"])
def test_what_cannot_be_read_is_none(log: str | None) -> None:
    assert engine.engine_settings(None, None, log) == {"environment": None, "effective": None}
    assert engine.environment_of(2**22 + 1) is None


def test_the_journal_of_the_unit_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def lines(unit: str, pid: int | None, **_more: Any) -> list[str]:
        assert (unit, pid) == ("ours", 17)
        return [LINE]

    monkeypatch.setattr(engine, "journal_lines", lines)
    monkeypatch.setattr(engine, "main_process", lambda unit: 17 if unit == "ours" else None)
    assert engine.engine_settings(None, "ours", None)["effective"] == {"OLLAMA_KEEP_ALIVE": "5m0s"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0::/system.slice/homelab-llm-ollama.service\n", "homelab-llm-ollama"),
        ("4:memory:/a\n1:name=systemd:/system.slice/a@b.service\n", "a@b"),
        ("0::/user.slice/user-0.slice/session-1.scope\n", None),
        ("", None),
    ],
)
def test_a_process_belongs_to_a_unit(text: str, expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "read", lambda _path: text)
    assert engine.unit_of(5) == expected


@pytest.mark.parametrize(("said", "expected"), [("echo 42", 42), ("echo 0", None), ("exit 1", None), (None, None)])
def test_the_main_process_of_a_unit(
    said: str | None, expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if said:
        (tmp_path / "systemctl").write_text(f"#!/bin/sh\n{said}\n")
        (tmp_path / "systemctl").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    assert engine.main_process("a") == expected


def test_the_process_that_serves_is_found_by_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert engine.serving_process(url) == os.getpid()
        first = engine.serving_identity(url)
        assert first == engine.serving_identity(url)
    assert (engine.serving_process(url), engine.serving_identity(url)) == (None, None)
    assert (engine.serving_process("http://host"), engine.serving_identity("http://host:x")) == (None, None)
    with socket.create_server(("127.0.0.1", server_port(url))):
        assert engine.serving_identity(url) not in (None, first)


def server_port(url: str) -> int:
    return int(url.rpartition(":")[2])
