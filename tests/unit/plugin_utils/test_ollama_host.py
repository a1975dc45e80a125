"""What the role ollama decides about a host: tables of cases."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.plugin_utils.ollama_host import engine_environment, foreign_models, missing_mib, version_refusal

OWN = {"OLLAMA_HOST": "127.0.0.1:11434", "OLLAMA_NOPRUNE": "1"}
SETTINGS = {"OLLAMA_NUM_PARALLEL": "1", "LLAMA_ARG_CACHE_RAM": "0"}


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("0.33.0", None),
        ("0.24.0", None),
        ("0.99.0", None),
        ("0.9.1", "not known"),
        ("newest", "expected one such as"),
        ("0.0.0", "expected one"),
        ("0.33.0-rc1", None),
        ("v0.33.0", "without a v"),
        ("0.33.0 nightly", "expected one"),
        ("0.33.0/../../x", "expected one"),
    ],
)
def test_a_version_without_rules_is_refused(version: str, words: str | None) -> None:
    refusal = version_refusal(version)
    assert refusal is None if words is None else words in str(refusal)


@pytest.mark.parametrize(
    ("more", "added"),
    [
        ({}, {}),
        ({"HTTPS_PROXY": "http://proxy:3128"}, {"HTTPS_PROXY": "http://proxy:3128"}),
        ({"CUDA_VISIBLE_DEVICES": 0}, {"CUDA_VISIBLE_DEVICES": "0"}),
        # The same word twice is no contradiction, whatever its type.
        ({"OLLAMA_NUM_PARALLEL": 1}, {}),
        ({"LLAMA_ARG_THREADS": 1, "OLLAMA_DEBUG": 1}, {"LLAMA_ARG_THREADS": "1", "OLLAMA_DEBUG": "1"}),
    ],
)
def test_variables_of_the_user_are_added(more: dict[str, Any], added: dict[str, str]) -> None:
    assert engine_environment(OWN, SETTINGS, more) == {**OWN, **SETTINGS, **added}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"OLLAMA_NUM_PARALLEL": "4"}, "OLLAMA_NUM_PARALLEL=4 (decided: 1, its place is parallel in llm_models)"),
        ({"LLAMA_ARG_CACHE_RAM": 8192}, "LLAMA_ARG_CACHE_RAM=8192 (decided: 0, its place is llm_host.cache_ram_mib)"),
        # The plan writes nothing where it counts with the engine's default.
        ({"OLLAMA_SCHED_SPREAD": 1}, "OLLAMA_SCHED_SPREAD=1 (decided: unset, its place is llm_host.server.sched_spread)"),
        ({"OLLAMA_GPU_OVERHEAD": 1}, "its place is llm_host.server.gpu_overhead_mib"),
        ({"LLAMA_ARG_FIT_TARGET": 512}, "its place is llm_host.server.fit_target_mib"),
        ({"LLAMA_ARG_CTX_SIZE": 512}, "its place is context_tokens in llm_models"),
        ({"LLAMA_ARG_N_GPU_LAYERS": 1}, "LLAMA_ARG_N_GPU_LAYERS=1 (decided: unset)"),
        ({"LLAMA_ARG_NO_MMAP": 1}, "LLAMA_ARG_NO_MMAP=1 (decided: unset)"),
        ({"OLLAMA_HOST": "0.0.0.0"}, "OLLAMA_HOST=0.0.0.0"),
        ({"OLLAMA_NOPRUNE": "0", "HTTPS_PROXY": "x"}, "got OLLAMA_NOPRUNE=0 (decided: 1) in ollama_environment"),
    ],
)
def test_a_second_voice_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match="llm_models") as refused:
        engine_environment(OWN, SETTINGS, more)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("value", "telling"),
    [
        ("http://me:hidden@proxy:3128", True),
        ("https://hidden@proxy", True),
        ("http://me:hid@den@proxy", True),
        ("me:hidden@proxy:3128", True),
        ("http://proxy.lan:3128", False),
        ("http://[fd00::1]:3128/a@b", False),
        ("proxy:3128", False),
        ("lan,10.0.0.0/8", False),
        (1, False),
    ],
)
def test_what_tells_a_password_is_refused_without_it(value: Any, telling: bool) -> None:
    if not telling:
        assert engine_environment(OWN, SETTINGS, {"HTTPS_PROXY": value})["HTTPS_PROXY"] == str(value)
        return
    with pytest.raises(ValueError, match=r"got HTTPS_PROXY with a user or password \(not shown\)") as caught:
        engine_environment(OWN, SETTINGS, {"HTTPS_PROXY": value})
    assert "hid" not in str(caught.value)


def resident(
    name: str, source: dict[str, Any], derived_from: str | None = None, mib: float = 100.0, **more: Any
) -> dict[str, Any]:
    derived = None if derived_from is None else {"from": derived_from, "parameters": {"num_ctx": 32768}}
    return {"engine_model": name, "source": source, "derived": derived, "fit": {"weights_mib": mib}, **more}


LIBRARY = resident("gemma4:26b", {"kind": "ollama", "name": "gemma4:26b"})
DERIVED = resident("homelab/gemma4:26b-ctx32768", {"kind": "ollama", "name": "gemma4:26b"}, "gemma4:26b")
OTHER = resident("host:5000/ns/tiny:latest", {"kind": "ollama", "name": "host:5000/ns/tiny"})
FILE = resident("homelab/smollm2:ctx4096", {"kind": "url", "url": "http://lan/smollm2.gguf"})


@pytest.mark.parametrize(
    ("installed", "models", "foreign"),
    [
        ([], [LIBRARY], []),
        (["gemma4:26b"], [LIBRARY], []),
        (["Gemma4:26B", "mine:latest"], [LIBRARY], ["mine:latest"]),
        (["gemma4:26b", "homelab/gemma4:26b-ctx32768"], [DERIVED], []),
        # Another context of an earlier plan is nobody's any more.
        (["gemma4:26b", "homelab/gemma4:26b-ctx8192"], [DERIVED], ["homelab/gemma4:26b-ctx8192"]),
        (["host:5000/ns/tiny:latest"], [OTHER], []),
        (["tiny:latest"], [OTHER], ["tiny:latest"]),
        (["homelab/smollm2:ctx4096", "not/a/valid/name"], [FILE], ["not/a/valid/name"]),
        (["b:1", "a:1"], [], ["a:1", "b:1"]),
    ],
)
def test_foreign_models_are_those_of_nobody(installed: list[str], models: list[dict[str, Any]], foreign: list[str]) -> None:
    assert foreign_models(installed, models) == foreign


@pytest.mark.parametrize(
    ("installed", "models", "mib"),
    [
        ([], [LIBRARY], 100.0),
        (["gemma4:26b"], [LIBRARY], 0.0),
        # One blob, however many names.
        ([], [LIBRARY, DERIVED], 100.0),
        (["gemma4:26b"], [DERIVED], 0.0),
        ([], [LIBRARY, OTHER], 200.0),
        # The file that is fetched and the engine's own copy of it.
        ([], [FILE], 200.0),
        ([], [resident("a", {"kind": "file", "path": "/a.gguf"})], 100.0),
        ([], [resident("a", {"kind": "file", "path": "/a.gguf"}, declared_file_bytes=5 * 2**20)], 5.0),
        ([], [{**LIBRARY, "fit": {"weights_mib": None}}], 0.0),
    ],
)
def test_room_is_counted_once_for_each_source(installed: list[str], models: list[dict[str, Any]], mib: float) -> None:
    assert missing_mib(installed, models) == pytest.approx(mib)
