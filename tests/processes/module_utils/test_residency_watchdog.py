"""The watchdog as a program: beside Ansible, from a folder with exactly its files."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils import residency_watchdog
from plugins.module_utils.residency_files import locked
from plugins.module_utils.residency_watchdog import FILES, configuration, main
from tests.scripted_engine import Asked, ScriptedEngine, nobody, reply
from tests.unit.residencies import FOREVER

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "plugins" / "module_utils"


def imported(name: str) -> set[str]:
    """Our own files that a file imports."""
    nodes = [node for node in ast.walk(ast.parse((SOURCES / name).read_text())) if isinstance(node, ast.ImportFrom)]
    assert not [node.module for node in nodes if (node.module or "").startswith("ansible")], name
    return {f"{node.module}.py" for node in nodes if node.level}


def closure(first: str) -> set[str]:
    found, left = {first}, [first]
    while left:
        new = imported(left.pop()) - found
        found |= new
        left += new
    return found


def test_its_files_are_what_it_imports() -> None:
    assert list(FILES) == sorted(closure("residency_watchdog.py"))


class Ollama:
    """Has what was asked for, until it is told to forget."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, asked: Asked) -> list[Any]:
        if asked.path == "/api/generate" and asked.body["model"] not in self.loaded:
            self.loaded.append(asked.body["model"])
        models = [
            {"name": f"{name}:latest", "digest": "d", "context_length": 512, "size": 9, "expires_at": FOREVER}
            for name in self.loaded
        ]
        replies = {
            "/api/ps": {"models": models},
            "/api/tags": {"models": [{"name": "a:latest", "digest": "d", "details": {"context_length": 512}}]},
            "/api/version": {"version": "0.33.0"},
            "/api/show": {"capabilities": ["completion"]},
        }
        return [reply(replies.get(asked.path, {"done": True}))]


def configured(folder: Path, address: str, **changes: Any) -> Path:
    path = folder / "watchdog.json"
    models = [{"name": "a", "context_tokens": 512}]
    given = {"url": address, "models": models, "state_directory": str(folder / "state"), **changes}
    path.write_text(json.dumps(given))
    return path


def run(path: Path) -> int:
    return main(["--configuration", str(path)])


def seen(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "state" / "residency.json").read_text())
    return document


def events(folder: Path) -> list[str]:
    return [json.loads(line)["kind"] for line in (folder / "state" / "events.jsonl").read_text().splitlines()]


def test_a_run_loads_and_writes_what_it_saw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # As the role links it for a collector: each run puts a new file where the link leads.
    link = tmp_path / "homelab_llm_residency.prom"
    link.symlink_to(tmp_path / "state" / "residency.prom")
    ollama = Ollama()
    with ScriptedEngine(ollama) as server:
        path = configured(tmp_path, server.url)
        assert run(path) == 0
        ollama.loaded.clear()
        assert run(path) == 0
    assert (seen(tmp_path)["findings"], seen(tmp_path)["counters"]["evictions"]) == ([], 1)
    assert events(tmp_path) == ["loaded", "evicted", "loaded"]
    assert "homelab_llm_model_evictions_total" in link.read_text()
    assert "evicted: a: was evicted" in capsys.readouterr().out
    modes = {(tmp_path / "state" / name).stat().st_mode & 0o777 for name in ("residency.json", "residency.prom", "events.jsonl")}
    assert modes == {0o644}


def ended(*_arguments: Any) -> None:
    raise SystemExit(0)


def test_what_was_seen_is_kept_where_it_ends_while_it_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ollama = Ollama()
    with ScriptedEngine(ollama) as server:
        path = configured(tmp_path, server.url)
        assert run(path) == 0
        ollama.loaded.clear()
        with monkeypatch.context() as patch:
            patch.setattr(residency_watchdog, "reach", ended)
            with pytest.raises(SystemExit):
                run(path)
        assert (seen(tmp_path)["findings"], seen(tmp_path)["models"][0]["loaded"]) == (["a is not loaded"], False)
        assert run(path) == 0
    assert [seen(tmp_path)["counters"][name] for name in ("runs", "evictions", "engine_restarts", "loads")] == [3, 1, 0, 2]
    assert events(tmp_path) == ["loaded", "evicted", "loaded"]
    assert [item["kind"] for item in seen(tmp_path)["last_events"]] == events(tmp_path)


def test_what_a_client_changed_is_told_once_where_it_ends_while_it_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedEngine(Ollama()) as server:
        assert run(configured(tmp_path, server.url)) == 0
        monkeypatch.setattr(residency_watchdog, "reach", ended)
        for _number in range(2):
            with pytest.raises(SystemExit):
                run(configured(tmp_path, server.url, models=[{"name": "a", "context_tokens": 256}]))
            # Without anything to tell a run is written when it is over.
            assert events(tmp_path) == ["loaded", "context"]


def test_events_that_cannot_be_written_keep_no_model_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ollama = Ollama()
    with ScriptedEngine(ollama) as server:
        path = configured(tmp_path, server.url)
        run(path)
        ollama.loaded.clear()
        (tmp_path / "state" / "events.jsonl").unlink()
        (tmp_path / "state" / "events.jsonl.new").mkdir()
        assert run(path) == 1
        assert ollama.loaded == ["a"]
        (tmp_path / "state" / "events.jsonl.new").rmdir()
        assert run(path) == 0
    assert "cannot write what was seen" in capsys.readouterr().err
    assert [item["kind"] for item in seen(tmp_path)["last_events"]] == ["loaded", "evicted", "loaded"]


def test_texts_that_no_file_can_carry_are_cleaned(tmp_path: Path) -> None:
    path = tmp_path / "state" / "residency.json"
    with ScriptedEngine(Ollama()) as server:
        configured_path = configured(tmp_path, server.url)
        run(configured_path)
        document = seen(tmp_path)
        document["last_events"].append({"at": "x", "kind": "\ud800", "model": None, "text": "y"})
        path.write_text(json.dumps(document))
        assert run(configured_path) == 0
    assert seen(tmp_path)["last_events"][-1]["kind"] == "\ufffd"


def test_a_dead_engine_is_no_error(tmp_path: Path) -> None:
    with nobody() as url:
        path = configured(tmp_path, url)
        assert [run(path), run(path)] == [0, 0]
    assert (seen(tmp_path)["engine"]["up"], events(tmp_path)) == (False, ["engine_down"])


@pytest.mark.parametrize("damage", [b"", b"{", b"{}", b"[]", b"\xff", b'{"models": [{"name": "a"}]}'])
def test_a_damaged_state_is_begun_anew(damage: bytes, tmp_path: Path) -> None:
    with ScriptedEngine(Ollama()) as server:
        path = configured(tmp_path, server.url)
        run(path)
        (tmp_path / "state" / "residency.json").write_bytes(damage)
        assert run(path) == 0
    assert (events(tmp_path), seen(tmp_path)["counters"]["runs"]) == (["loaded", "state_lost"], 1)


def test_two_runs_do_not_pile_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedEngine(Ollama()) as server:
        path = configured(tmp_path, server.url)
        (tmp_path / "state").mkdir()
        with locked(str(tmp_path / "state")):
            assert run(path) == 0
        assert server.asked == []
    assert "another run is loading models" in capsys.readouterr().out


def test_files_that_cannot_be_written_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state" / "residency.prom").mkdir(parents=True)
    with ScriptedEngine(Ollama()) as server:
        assert run(configured(tmp_path, server.url)) == 1
    assert "cannot write what was seen" in capsys.readouterr().err
    assert seen(tmp_path)["findings"] == []


BAD = [
    ({"url": None}, "url: got None, expected text"),
    ({"url": "host:1"}, "url: got 'host:1', expected http://ADDRESS:PORT"),
    ({"url": "http://a:x"}, "could not be cast to integer"),
    ({"url": "http://:80"}, "url: got 'http://:80', expected http://ADDRESS:PORT"),
    ({"state_directory": 5}, "state_directory: got 5"),
    ({"load_timeout_s": 0}, "load_timeout_s: got 0, expected seconds"),
    ({"load_timeout_s": True}, "load_timeout_s: got True"),
    ({"models": {}}, "models: got dict, expected a list"),
]


@pytest.mark.parametrize(("changes", "words"), BAD, ids=[words for _changes, words in BAD])
def test_a_configuration_that_is_none_is_refused(
    changes: dict[str, Any], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configured(tmp_path, "http://127.0.0.1:9", **changes)
    assert run(path) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


def test_no_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such file"):
        configuration(str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("url", "place"), [("http://a", ("a", 80)), ("https://a", ("a", 443)), ("http://[::1]:11434", ("::1", 11434))]
)
def test_address_and_port_tell_one_engine_from_the_next(url: str, place: tuple[str, int], tmp_path: Path) -> None:
    assert configuration(str(configured(tmp_path, url))).listener == place


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The watchdog as the role puts it on a host."""
    folder = tmp_path / "watchdog"
    (folder / "homelab_llm").mkdir(parents=True)
    for name in FILES:
        shutil.copy(SOURCES / name, folder / "homelab_llm")
    return folder


def test_it_runs_beside_ansible_again_and_again_and_ends_when_told(program: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(program)!r}); import runpy; "]
    command[-1] += "sys.modules['ansible'] = None; runpy.run_module('homelab_llm.residency_watchdog', run_name='__main__')"
    ollama = Ollama()
    with ScriptedEngine(ollama) as server:
        path = configured(tmp_path, server.url)
        arguments = ["--configuration", str(path), "--every", "0.05"]
        with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "loaded: a: was loaded or told to stay\n"
            ollama.loaded.clear()
            assert process.stdout.readline().startswith("evicted: a")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert seen(tmp_path)["engine"]["up"] is True
