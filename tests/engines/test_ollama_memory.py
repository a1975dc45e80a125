"""What is predicted for a model is what a real Ollama allocates for it: every buffer of v0.33, weights and caches of v0.24."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils.engine_memory import COMPUTE, KV_CACHE, STATE, WEIGHTS, LoadReport, load_reports, ollama_ps_mib
from plugins.plugin_utils.calibration import compare, disagreements
from tests.engines.cases import REAL, SETUPS, SMALL, Case, Setup
from tests.engines.conftest import built
from tests.engines.prediction import predicted
from tests.engines.servers import Server, create, ollama

pytestmark = pytest.mark.engines
EXACT_MIB = 0.05
# v0.24 logs its layout in tenths, of each device and part.
TENTHS_MIB = 0.1


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a version's models, which its servers share."""
    folders: dict[str, Path] = {}
    return lambda version: folders.setdefault(version, tmp_path_factory.mktemp(f"ollama-{version}"))


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, stores: Callable[[str], Path]) -> Iterator[tuple[Setup, Server, Path]]:
    """One server for all models of a setup; every model evicts the one before."""
    setup: Setup = request.param
    folder = stores(setup.version)
    settings = {**dict(setup.settings), "OLLAMA_MAX_LOADED_MODELS": "1"}
    with ollama(built(f"ollama-{setup.version}"), folder, settings) as running:
        yield setup, running, folder


def load(server: Server, case: Case) -> tuple[LoadReport, dict[str, Any]]:
    """Load a model; the engine's report of it, and what its list of loaded models shows."""
    known = len(load_reports(server.lines()))
    body = {"model": case.model, "options": {"num_ctx": case.context_tokens}, "stream": False}
    server.ask("/api/embed" if case.embedding else "/api/generate", body)
    [report] = load_reports(server.lines())[known:]
    [shown] = server.ask("/api/ps")["models"]
    return report, shown


CASES = [pytest.param(setup, case, id=f"{setup}-{case}") for setup in SETUPS for case in setup.cases]


@pytest.mark.parametrize(("server", "case"), CASES, indirect=["server"])
def test_what_ollama_loads_is_predicted(
    server: tuple[Setup, Server, Path], case: Case, model_file: Callable[[str], Path]
) -> None:
    setup, running, folder = server
    path = model_file(case.model)
    create(running, folder, case.model, path)
    report, shown = load(running, case)
    errors = compare(predicted(path, case.for_ollama(setup.version)), report)
    told = [error for error in errors if setup.version != "0.24.0" or error.part in (WEIGHTS, KV_CACHE, STATE)]
    assert disagreements(tuple(told)) == []
    exact = tuple(error for error in told if error.part != COMPUTE)
    assert disagreements(exact, share=0.0, mib=EXACT_MIB if report.buffers else TENTHS_MIB) == []
    # Its own list leaves out what is known to be left out, and nothing else.
    assert shown["size"] / 2**20 == pytest.approx(ollama_ps_mib(report), abs=0.2)


def test_all_small_models_are_loaded_by_both_versions() -> None:
    assert {setup.version: set(SMALL) | {REAL} for setup in SETUPS if not setup.settings} == {
        setup.version: {case.model for case in setup.cases} for setup in SETUPS if not setup.settings
    }
