"""The accelerators that memory_fit is asked about."""

from __future__ import annotations

import math

import pytest

from plugins.module_utils.fit_budgets import budgets_of
from plugins.module_utils.packing import Budget


def here():
    return [Budget("ram", "cpu", 4096.0, reserved_mib=1024.0)]


def a_gpu(**changes):
    return [{"name": "a", "kind": "gpu", "memory_gib": 8, **changes}]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, [("ram", 4096 - 1024 - 512, "cpu")]),
        ([], [("ram", 4096 - 1024 - 512, "cpu")]),
        ([{"name": "apu", "kind": "unified", "memory_gib": 96, "backend": "rocm"}], [("apu", 96 * 1024 - 512, "rocm")]),
        (a_gpu(reserved_gib=1), [("a", 8192 - 1024 - 512, "cuda")]),
        (a_gpu(headroom_gib=0, backend="rocm"), [("a", 8192, "rocm")]),
        ([{"name": "m", "kind": "unified", "memory_gib": 64, "wired_limit_gib": 60}], [("m", 60 * 1024 - 512, "metal")]),
        ([{"name": "m", "kind": "unified", "memory_gib": 64, "wired_limit_gib": 0}], [("m", 48 * 1024 - 512, "metal")]),
    ],
)
def test_accelerators_are_those_described_or_those_here(said, expected):
    assert [(item.name, item.budget_mib, item.library) for item in budgets_of(said, 0.5, here)] == expected


def full():
    return [Budget("gpu0", "gpu", 24576.0, reserved_mib=24000.0)]


UNIFIED = {"name": "m", "kind": "unified", "memory_gib": 64}


@pytest.mark.parametrize(
    ("said", "there", "words"),
    [
        (None, list, "cannot be told"),
        (None, full, "nothing is left of gpu0: 24.00 GiB - 23.44 GiB in use now - 1.00 GiB headroom; end what uses it, unload"),
        (
            a_gpu(reserved_gib=8),
            here,
            "nothing is left of a: 8.00 GiB - 8.00 GiB reserved - 1.00 GiB headroom; correct memory_gib",
        ),
        (a_gpu() * 2, here, "names that differ"),
        (a_gpu(name=" "), here, r"accelerators\[0\]: got name ' ', expected a word"),
        (a_gpu(name="host"), here, "other than host"),
        (a_gpu(kind="cpu", backend="rocm"), here, "got backend rocm for a memory of kind cpu"),
        (a_gpu(backend="metal"), here, "got backend metal for a memory of kind gpu"),
        ([{**UNIFIED, "backend": "rocm", "wired_limit_gib": 3}], here, "only a Mac's unified memory"),
        (a_gpu(wired_limit_gib=3), here, "only a Mac's unified memory"),
        (
            [UNIFIED, {"name": "ram", "kind": "cpu", "memory_gib": 64}],
            here,
            "got m and ram, expected one memory of kind cpu or unified",
        ),
        *(
            (a_gpu(memory_gib=value), here, "got memory_gib .*, expected GiB from 0")
            for value in (-1, math.nan, math.inf, "x", True)
        ),
        *((a_gpu(reserved_gib=value), here, "got reserved_gib") for value in (-1, math.nan, 1e30)),
        *((a_gpu(headroom_gib=value), here, "got headroom_gib") for value in (-1, math.nan)),
        *(([{**UNIFIED, "wired_limit_gib": value}], here, "got wired_limit_gib") for value in (-1, math.nan)),
    ],
)
def test_accelerators_that_are_none(said, there, words):
    with pytest.raises(ValueError, match=words):
        budgets_of(said, 1.0, there)


@pytest.mark.parametrize("headroom_gib", [-1, math.nan, math.inf, "x"])
def test_headroom_that_is_none(headroom_gib):
    with pytest.raises(ValueError, match="got headroom_gib"):
        budgets_of(None, headroom_gib, here)
