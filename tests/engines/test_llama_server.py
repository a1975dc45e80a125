"""What is predicted for a model is what a real llama-server allocates for it, buffer by buffer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from plugins.module_utils.engine_memory import COMPUTE, load_reports
from plugins.plugin_utils.calibration import compare, disagreements
from tests.engines.cases import LLAMA_CPP, Case
from tests.engines.conftest import built
from tests.engines.prediction import predicted
from tests.engines.servers import llama_server

pytestmark = pytest.mark.engines
# What the log's two decimals leave open, summed over a few buffers.
EXACT_MIB = 0.05


@pytest.mark.parametrize("case", LLAMA_CPP, ids=str)
def test_every_buffer_is_predicted(case: Case, model_file: Callable[[str], Path], tmp_path: Path) -> None:
    path = model_file(case.model)
    with llama_server(built("llama-cpp-b10488"), path, case.arguments(), tmp_path / "log") as server:
        lines = server.lines()
    [report] = load_reports(lines)
    errors = compare(predicted(path, case.for_llama_cpp()), report)
    assert disagreements(errors) == []
    # Small models have small buffers: what is not computed in steps of a graph has to be exact.
    assert disagreements(tuple(error for error in errors if error.part != COMPUTE), share=0.0, mib=EXACT_MIB) == []
