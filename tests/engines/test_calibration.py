"""What a host tells of a model that a real Ollama has loaded stands beside the plan: from its log, its list and its process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils.engine_memory import KV_CACHE, STATE, WEIGHTS
from plugins.module_utils.loaded_memory import of_llama_cpp, of_ollama
from plugins.plugin_utils.calibrated import SHOWN_GAPS, calibrated
from tests.engines.cases import Case
from tests.engines.conftest import built
from tests.engines.prediction import grown
from tests.engines.scenarios import VERSIONS
from tests.engines.servers import create, llama_server, ollama

pytestmark = pytest.mark.engines
MODELS = ("gemma3", "qwen35", "llama")


def plan_of(case: Case, parts: dict[str, Any], engine: str) -> dict[str, Any]:
    """As much of a plan as a calibration looks at: one model on a CPU."""
    pool = {key: value for key, value in parts.items() if key != "kind"}
    settings = {"context_tokens": case.context_tokens, "parallel": case.parallel, "kv_type": case.kv_type, "batch_tokens": None}
    fit = {"bound": "exact", "pools": [pool], "total_mib": parts["total_mib"]}
    resident = {"model": case.model, "engine_model": case.model, "mode": "chat", **settings, "fit": fit}
    accelerators = [{"name": "host", "kind": "cpu"}]
    return {"inventory": "lab", "hosts": {"here": {"engine": engine, "accelerators": accelerators, "resident": [resident]}}}


def beside(plan: dict[str, Any], model: str, memory: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Parts by name of the one model."""
    document = calibrated(plan, "here", {model: memory})
    assert document
    [found] = document["models"]
    return {part["part"]: part for part in found["parts"]}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_model_in_ollama(version: str, model: str, model_file: Callable[[str], Path], files: Path, tmp_path: Path) -> None:
    case, path = Case(model, 4096), model_file(model)
    # The store links to the file, so that both have to be on one file system.
    folder = files.parent / f"calibration-{version}-{model}"
    with ollama(built(f"ollama-{version}"), folder, {}) as server:
        create(server, folder, model, path)
        server.ask("/api/generate", {"model": model, "options": {"num_ctx": 4096}, "stream": False})
        memory = of_ollama(server.url, model, str(server.log), None)
        shown = of_ollama(server.url, model, None, None)
    plan = plan_of(case, grown(path, case.for_ollama(version)).as_dict(), "ollama")
    parts = beside(plan, model, memory)
    told = {name: part["agrees"] for name, part in parts.items() if part["source"] == "log"}
    assert {name: told[name] for name in (WEIGHTS, KV_CACHE)} == {WEIGHTS: True, KV_CACHE: True}
    assert version == "0.24.0" or (len(told) >= 4 and all(told.values()))
    assert (STATE in told) == (model == "qwen35" and version != "0.24.0")
    assert memory["process"] is not None
    assert memory["notes"] == []
    # Without the log only its list is left, which says what it leaves out.
    total = beside(plan, model, shown)["total"]
    assert (total["source"], total["note"]) == ("/api/ps", SHOWN_GAPS)
    assert total["actual_mib"] == pytest.approx(memory["shown_mib"], abs=0.01)


def test_a_llama_server(model_file: Callable[[str], Path], tmp_path: Path) -> None:
    case, path = Case("llama", mmap=True), model_file("llama")
    with llama_server(built("llama-cpp-b10488"), path, case.arguments(), tmp_path / "log") as server:
        memory = of_llama_cpp(str(server.log), None, server.process.pid)
    parts = beside(plan_of(case, grown(path, case.for_llama_cpp()).as_dict(), "llama_cpp"), case.model, memory)
    told = {name: part for name, part in parts.items() if part["source"] == "log"}
    assert len(told) == 4
    assert all(part["agrees"] for part in told.values())
    # Its weights are mapped, and copied into another order.
    assert "may go" in told[WEIGHTS]["note"]
