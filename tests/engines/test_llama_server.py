"""What is predicted for a model is what a real llama-server allocates for it, buffer by buffer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from plugins.module_utils.engine_memory import COMPUTE, load_reports
from plugins.plugin_utils.calibration import compare, disagreements
from tests.engines.cases import LLAMA_CPP, Case
from tests.engines.conftest import built
from tests.engines.prediction import grown, predicted
from tests.engines.servers import Server, llama_server

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


def writable_mib(server: Server) -> float:
    """Private writable memory that the engine has asked for, touched or not (VmData of proc(5))."""
    [engine] = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text(encoding="ascii").split()
    text = Path(f"/proc/{engine}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmData"))


def test_the_output_of_embeddings_grows_to_what_is_predicted(model_file: Callable[[str], Path], tmp_path: Path) -> None:
    """No log line tells it: the buffer is as large as the texts of one batch have tokens, once they come."""
    case = Case("qwen3", 4096, embeddings=True)
    path = model_file(case.model)
    wanted_mib = grown(path, case.for_llama_cpp()).output_mib
    # One vector for a text: without pooling the answer itself is of that size.
    arguments = [*case.arguments(), "--pooling", "mean"]
    with llama_server(built("llama-cpp-b10488"), path, arguments, tmp_path / "log") as server:
        server.ask("/embedding", {"content": [1, 2, 3]})
        before_mib = writable_mib(server)
        server.ask("/embedding", {"content": [1] * (case.context_tokens - 2)})
        after_mib = writable_mib(server)
    assert wanted_mib > 50
    # The CPU's own working memory for so many tokens grows beside it, by an eighth of it here.
    assert 0.98 <= (after_mib - before_mib) / wanted_mib <= 1.2
