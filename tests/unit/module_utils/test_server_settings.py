"""Settings of a running server: from its environment and its log, and whether they are the planned ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from plugins.module_utils.server_settings import duration_s, parse_environ, parse_server_config, same, settings_findings
from tests.unit.any_text import any_text

LOGS = Path(__file__).parents[2] / "fixtures" / "engine_logs"
SET = {
    "OLLAMA_KEEP_ALIVE": "-1",
    "OLLAMA_CONTEXT_LENGTH": "1024",
    "OLLAMA_MAX_LOADED_MODELS": "2",
    "OLLAMA_KV_CACHE_TYPE": "q8_0",
    "OLLAMA_FLASH_ATTENTION": "1",
    "OLLAMA_NUM_PARALLEL": "1",
    "OLLAMA_SCHED_SPREAD": "0",
    "OLLAMA_LOAD_TIMEOUT": "300",
}


@pytest.mark.parametrize("version", ["0.24.0", "0.33.0"])
def test_the_line_of_a_real_engine(version: str) -> None:
    (line,) = (LOGS / f"ollama-{version}-config.log").read_text(encoding="utf-8").splitlines()
    found = parse_server_config(line)
    assert found is not None
    assert found["OLLAMA_KEEP_ALIVE"] == "2562047h47m16.854775807s"
    assert found["OLLAMA_ORIGINS"].startswith("[http://localhost https://localhost")
    assert found["OLLAMA_ORIGINS"].endswith("vscode-file://*]")
    assert (found["CUDA_VISIBLE_DEVICES"], found["OLLAMA_REMOTES"], found["OLLAMA_MODELS"]) == ("", "[ollama.com]", "/models")
    assert ("LLAMA_ARG_FIT" in found) == (version == "0.33.0")
    assert not {name for name in found if "PROXY" in name.upper()}
    assert "secret" not in str(found)
    assert settings_findings(SET, None, found) == []


LINES = [
    ("", None),
    ('msg="something else" env="map[OLLAMA_HOST:a]"', None),
    ('msg="server config" env="[OLLAMA_HOST:a]"', None),
    ('msg="server config" env="map[]"', {}),
    ('msg="server config" env="map[OLLAMA_A:]"', {"OLLAMA_A": ""}),
    ('msg="server config" env="map[OLLAMA_A:b c OLLAMA_B:d]"', {"OLLAMA_A": "b c", "OLLAMA_B": "d"}),
    ('msg="server config" env="map[OLLAMA_A:[x y:z] OLLAMA_B:[::1]:5]"', {"OLLAMA_A": "[x y:z]", "OLLAMA_B": "[::1]:5"}),
    ('msg="server config" env="map[OLLAMA_A:\\"b\\" OLLAMA_B:c:\\\\d]"', {"OLLAMA_A": '"b"', "OLLAMA_B": "c:\\d"}),
    ('msg="server config" env="map[OLLAMA_API_KEY:x PATH:/bin OLLAMA_A:\\x01]"', {"OLLAMA_A": "\\x01"}),
]


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_lines(line: str, expected: dict[str, str] | None) -> None:
    assert parse_server_config(line) == expected


@given(any_text())
def test_any_line_is_read_or_left(text: str) -> None:
    parse_server_config(f'msg="server config" env="map[{text}]"')
    parse_server_config(text)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", {}),
        (b"PATH=/bin\0OLLAMA_HOST=a=b\0OLLAMA_API_KEY=s\0LLAMA_ARG_HF_TOKEN=s\0", {"OLLAMA_HOST": "a=b"}),
        (
            b"CUDA_VISIBLE_DEVICES=0\0GGML_X=1\0LLAMA_ARG_FIT=on\0",
            {"CUDA_VISIBLE_DEVICES": "0", "GGML_X": "1", "LLAMA_ARG_FIT": "on"},
        ),
        (b"OLLAMA_HOST=http://u:p@h:1\0nothing\0OLLAMA_A=\xff\0", {"OLLAMA_A": "\ufffd", "OLLAMA_HOST": "http://h:1"}),
    ],
)
def test_only_what_decides_memory_is_shown(content: bytes, expected: dict[str, str]) -> None:
    assert parse_environ(content) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m0s", 300),
        ("300", 300),
        ("1h2m3.5s", 3723.5),
        ("100ms", 0.1),
        ("-1", float("inf")),
        ("-1m", float("inf")),
        ("2562047h47m16.854775807s", float("inf")),
        ("0", 0),
        ("", None),
        ("5 minutes", None),
        ("1.2.3s", 0),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    ("name", "wanted", "shown", "expected"),
    [
        ("OLLAMA_KEEP_ALIVE", "-1", "2562047h47m16.854775807s", True),
        ("OLLAMA_KEEP_ALIVE", "-1", "5m0s", False),
        ("OLLAMA_KEEP_ALIVE", "never", "5m0s", False),
        ("OLLAMA_LOAD_TIMEOUT", "300", "5m0s", True),
        ("OLLAMA_SCHED_SPREAD", "1", "true", True),
        ("OLLAMA_SCHED_SPREAD", "0", "false", True),
        ("OLLAMA_SCHED_SPREAD", "0", "true", False),
        ("OLLAMA_CONTEXT_LENGTH", "4096", "4096", True),
        ("OLLAMA_CONTEXT_LENGTH", "4096", "0", False),
        ("OLLAMA_GPU_OVERHEAD", "1e3", "1000", False),
        ("OLLAMA_KV_CACHE_TYPE", "q8_0", "Q8_0", True),
        ("OLLAMA_KV_CACHE_TYPE", "q8_0", "", False),
        ("LLAMA_ARG_FIT_TARGET", "1024", "01024", True),
        ("OLLAMA_HOST", "http://127.0.0.1:1", "https://127.0.0.1:1", False),
    ],
)
def test_two_spellings_of_one_value(name: str, wanted: str, shown: str, expected: bool) -> None:
    assert same(name, wanted, shown) is expected


ONE = {"LLAMA_ARG_CACHE_RAM": "512"}


@pytest.mark.parametrize(
    ("environment", "effective", "words"),
    [
        (None, None, None),
        ({"LLAMA_ARG_CACHE_RAM": "512"}, None, None),
        ({"LLAMA_ARG_CACHE_RAM": "512"}, {"OLLAMA_HOST": "a"}, None),
        ({}, None, "LLAMA_ARG_CACHE_RAM is not set in the running server, planned is 512"),
        ({}, {"LLAMA_ARG_CACHE_RAM": "8192"}, "LLAMA_ARG_CACHE_RAM is 8192 in the running server, planned is 512"),
        (None, {"LLAMA_ARG_CACHE_RAM": ""}, "LLAMA_ARG_CACHE_RAM is empty in the running server"),
        (None, {}, None),
        ({**ONE, "LLAMA_ARG_THREADS": "1"}, None, None),
        ({**ONE, "OLLAMA_SCHED_SPREAD": "1"}, None, "OLLAMA_SCHED_SPREAD is set in the running server, planned is unset"),
    ],
)
def test_findings_come_from_what_is_known(environment: dict | None, effective: dict | None, words: str | None) -> None:
    found = settings_findings(ONE, environment, effective)
    assert len(found) == (words is not None)
    assert words is None or words in found[0]
