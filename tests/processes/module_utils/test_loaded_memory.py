"""What a host tells of a loaded model: known from its log, shown by Ollama, or not known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils.loaded_memory import SILENT, last_report, log_lines, nothing, of_llama_cpp, of_ollama, process_with
from tests.scripted_engine import Asked, ScriptedEngine, reply

LOGS = Path(__file__).parents[2] / "fixtures" / "engine_logs"
SMOLLM2 = LOGS / "xllamacpp-2026.10.11549-smollm2.log"
OLLAMA = LOGS / "ollama-0.33.0-loads.log"
BLOB = "sha256-0adc3673dc51c1ad180b2305f1671d8aa096dbb07f4d305a4c68747bfd905f07"


def no_gpu(_command: object) -> None:
    return None


def parts(memory: dict[str, Any]) -> dict[str, float]:
    return {buffer["part"]: buffer["mib"] for buffer in memory["report"]["buffers"]}


def test_a_servers_own_log_is_read() -> None:
    memory = of_llama_cpp(str(SMOLLM2), None, os.getpid(), no_gpu)
    assert parts(memory) == {"weights": 92.1, "output": 0.19, "kv_cache": 180.0, "compute": 22.64}
    assert (memory["process"]["pid"], memory["gpus"], memory["notes"]) == (os.getpid(), None, [])
    assert (memory["report"]["graph_splits"], memory["report"]["flash_attention"]) == (1, True)


# Stands for the number of the process that runs the tests: cases must not change from one run to the next.
OWN = -1


@pytest.mark.parametrize(
    ("log", "pid", "note"),
    [
        (None, None, "no process runs"),
        (str(SMOLLM2), 2**22 + 1, "no process runs"),
        (None, OWN, SILENT),
        ("/nowhere/a.log", OWN, "the log cannot be read: [Errno 2] No such file or directory: '/nowhere/a.log'"),
    ],
)
def test_what_is_not_known_is_said(log: str | None, pid: int | None, note: str) -> None:
    memory = of_llama_cpp(log, None, os.getpid() if pid == OWN else pid, no_gpu)
    assert (memory["report"], memory["notes"]) == (None, [note])


def test_a_server_that_was_started_again_and_is_silent_is_not_known(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    started = "0.00.003.990 I srv    load_model: loading model '/models/a.gguf'\n"
    log.write_text(started + SMOLLM2.read_text(encoding="utf-8"), encoding="utf-8")
    assert of_llama_cpp(str(log), None, os.getpid(), no_gpu)["report"]
    with log.open("a", encoding="utf-8") as more:
        more.write(started)
    memory = of_llama_cpp(str(log), None, os.getpid(), no_gpu)
    assert (memory["report"], memory["notes"]) == (None, [SILENT])


@pytest.mark.parametrize(("blob", "weights"), [(None, 60.32), (BLOB, 52.6), ("sha256-unknown", None)])
def test_the_newest_load_of_a_file_counts(blob: str | None, weights: float | None) -> None:
    report = last_report(log_lines(str(OLLAMA), None, None), blob)
    assert (round(report.part_mib("weights"), 2) if report else None) == weights


def test_a_process_is_found_by_its_file(tmp_path: Path) -> None:
    for pid, line in ((12, "ollama\0serve"), (30, f"llama-server\0--model\0/blobs/{BLOB}")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cmdline").write_text(line, encoding="utf-8")
    assert (process_with(BLOB, str(tmp_path)), process_with("other", str(tmp_path))) == (30, None)
    assert process_with(BLOB, str(tmp_path / "nowhere")) is None


PS = {"models": [{"name": "gemma3:latest", "size": 79577088, "size_vram": 0, "context_length": 4096}]}
SHOW = {"modelfile": f"# made by ollama\nFROM /models/blobs/{BLOB}\nPARAMETER num_ctx 4096\n"}


def answering(replies: dict[str, Any]) -> ScriptedEngine:
    def answer(asked: Asked) -> list[Any]:
        return [reply(replies[asked.path]) if asked.path in replies else reply({}, "404 Not Found")]

    return ScriptedEngine(answer)


@pytest.mark.parametrize(
    ("replies", "log", "expected"),
    [
        ({"/api/ps": PS, "/api/show": SHOW}, str(OLLAMA), (52.6, 75.89, [])),
        ({"/api/ps": PS, "/api/show": SHOW}, None, (None, 75.89, [])),
        ({"/api/ps": PS, "/api/show": SHOW}, str(SMOLLM2), (None, 75.89, ["the log does not hold this load any more"])),
        ({"/api/ps": PS}, str(OLLAMA), (None, 75.89, [])),
        ({"/api/ps": PS, "/api/show": [1]}, str(OLLAMA), (None, 75.89, [])),
        ({"/api/ps": {"models": []}}, str(OLLAMA), (None, None, ["is not loaded"])),
    ],
)
def test_ollama_is_asked_and_its_log_read(replies: dict[str, Any], log: str | None, expected: tuple[Any, ...]) -> None:
    with answering(replies) as engine:
        memory = of_ollama(engine.url, "gemma3", log, None, no_gpu)
    weights = round(parts(memory)["weights"], 2) if memory["report"] else None
    shown = None if memory["shown_mib"] is None else round(memory["shown_mib"], 2)
    assert (weights, shown, memory["notes"]) == expected


def test_an_ollama_that_is_down_is_no_error() -> None:
    with answering({}) as engine:
        pass
    memory = of_ollama(engine.url, "gemma3", None, "ollama", no_gpu)
    assert {**memory, "notes": []} == nothing()
    assert "no connection" in memory["notes"][0]
