"""Predicted and taken memory are compared part by part; what an engine does not tell is no disagreement."""

from __future__ import annotations

import pytest

from plugins.module_utils.engine_memory import Buffer, LoadReport
from plugins.plugin_utils.calibration import PartError, compare, disagreements

TAKEN = (
    Buffer("weights", "load_tensors", "CPU", 50.0),
    Buffer("weights", "load_tensors", "CUDA0", 1000.0),
    Buffer("kv_cache", "llama_kv_cache", "CUDA0", 20.0),
    Buffer("kv_cache", "llama_kv_cache", "CUDA0", 4.0),
    Buffer("state", "llama_memory_recurrent", "CUDA0", 3.0),
)
LAID_OUT = (Buffer("weights", "layout", "CPU", 60.0), Buffer("kv_cache", "layout", "CPU", 27.0))

CASES = [
    (
        {"host": {"weights": 50.0, "overhead": 32.0, "prompt_cache": 8192.0}, "CUDA0": {"weights": 1010.0, "kv_cache": 24.0}},
        LoadReport(buffers=TAKEN, layout=LAID_OUT),
        {("host", "weights"): 0.0, ("CUDA0", "weights"): 10.0, ("CUDA0", "kv_cache"): 0.0, ("CUDA0", "state"): -3.0},
    ),
    (
        {"host": {"weights": 61.0, "kv_cache": 24.0, "state": 3.0, "output": 0.5}},
        LoadReport(layout=LAID_OUT),
        {("host", "weights"): 1.0, ("host", "kv_cache"): 0.0},
    ),
    ({}, LoadReport(buffers=TAKEN[:1]), {("host", "weights"): -50.0}),
    ({"host": {"weights": 1.0}}, LoadReport(), {("host", "weights"): 1.0}),
]


@pytest.mark.parametrize(("predicted", "report", "expected"), CASES)
def test_parts_are_compared(
    predicted: dict[str, dict[str, float]], report: LoadReport, expected: dict[tuple[str, str], float]
) -> None:
    assert {(error.device, error.part): error.error_mib for error in compare(predicted, report)} == expected


@pytest.mark.parametrize(
    ("predicted_mib", "actual_mib", "agrees"),
    [
        (108.0, 100.0, True),
        (92.0, 100.0, True),
        (108.1, 100.0, False),
        (1020.0, 1000.0, True),
        (979.0, 1000.0, False),
        (8.0, 0.0, True),
    ],
)
def test_the_larger_tolerance_holds(predicted_mib: float, actual_mib: float, agrees: bool) -> None:
    error = PartError("host", "weights", predicted_mib, actual_mib)
    assert error.agrees() is agrees
    assert disagreements((error,)) == ([] if agrees else [str(error)])


def test_what_grows_with_use_may_be_smaller_after_the_load() -> None:
    grown = PartError("host", "output", 734.0, 0.5, grows=True)
    assert (grown.agrees(), PartError("host", "output", 0.5, 734.0, grows=True).agrees()) == (True, False)
    [error] = compare({"host": {"output": 734.0}}, LoadReport(buffers=(Buffer("output", "llama_context", "CPU", 0.5),)))
    assert error == grown


@pytest.mark.parametrize(("predicted_mib", "agrees"), [(1520.0, True), (2152.0, True), (1300.0, False), (2300.0, False)])
def test_what_is_mapped_and_repacked_is_told_twice(predicted_mib: float, agrees: bool) -> None:
    buffers = (Buffer("weights", "load_tensors", "CPU_Mapped", 1435.0), Buffer("weights", "load_tensors", "CPU_REPACK", 717.0))
    [error] = compare({"host": {"weights": predicted_mib}}, LoadReport(buffers=buffers))
    assert error.agrees() is agrees
