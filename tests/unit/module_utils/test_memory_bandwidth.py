"""Memory bandwidth by exact name: what tells variants apart, what is not known, and that every row has a source."""

from __future__ import annotations

import pytest

from plugins.module_utils.memory_bandwidth import bandwidth_gb_s, bandwidth_source, plain_name
from plugins.module_utils.memory_bandwidth_data import ROWS, SOURCES

CASES = [
    ("NVIDIA GeForce RTX 4070", 12282, None, 504),
    ("NVIDIA GeForce RTX 4070 SUPER", 12282, None, 504),
    ("NVIDIA GeForce RTX 4070 Ti", 12282, None, 504),
    ("NVIDIA GeForce RTX 4070 Ti SUPER", 16376, None, 672),
    ("GeForce RTX 3090", 24576, None, 936),
    ("NVIDIA GeForce RTX 3060", 12288, None, 360),
    ("NVIDIA GeForce RTX 3060", 8192, None, 240),
    ("NVIDIA GeForce RTX 3060", None, None, None),
    ("NVIDIA GeForce RTX 3080", 10240, None, 760),
    ("NVIDIA GeForce RTX 3080", 12288, None, 912),
    ("NVIDIA GeForce RTX 4070 Laptop GPU", 8188, None, None),
    ("NVIDIA GeForce GTX 1070 with Max-Q Design", 8192, None, None),
    ("NVIDIA GeForce RTX 3060 Ti", 8192, None, None),
    ("Tesla P40", 22919, None, 347),
    ("Tesla P40", 24576, None, 347),
    ("NVIDIA A100-SXM4-80GB", 81920, None, 2039),
    ("AMD Radeon RX 7900 XTX", 24560, None, 960),
    ("Radeon RX 7900 XT", 20464, None, 800),
    ("AMD Radeon RX 7900 XT/7900 XTX/7900M", 24560, None, None),
    ("AMD Radeon 8060S Graphics", 98304, None, 256),
    ("AMD Radeon 780M Graphics", 16384, None, None),
    ("Intel(R) Arc(TM) A770 Graphics", 16288, None, 560),
    ("Intel Arc A770", 8192, None, 512),
    ("Apple M1", 16384, 7, 68.25),
    ("Apple M3 Max", 65536, 30, 300),
    ("Apple M3 Max", 65536, 40, 400),
    ("Apple M3 Max", 65536, None, None),
    ("Apple M4 Max", 131072, 40, 546),
    ("Apple M3 Ultra", 98304, 60, 819),
    ("Jetson AGX Orin", 62800, None, 204.8),
    ("Jetson Orin Nano", 7620, None, 68),
    ("Jetson Orin Nano Super", 7620, None, 102),
    ("", None, None, None),
    (None, None, None, None),
]


@pytest.mark.parametrize(("name", "memory_mib", "cores", "expected"), CASES)
def test_the_bandwidth_of_a_name(name, memory_mib, cores, expected):
    assert bandwidth_gb_s(name, memory_mib, cores) == expected
    assert (bandwidth_source(name, memory_mib, cores) is None) == (expected is None)


def test_every_row_names_its_source():
    assert {row.source for row in ROWS} == set(SOURCES)


def test_no_two_rows_answer_the_same_question():
    keys = [(row.name.lower(), row.memory_gib, row.gpu_cores) for row in ROWS]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_can_be_found(row):
    assert plain_name(row.name) == row.name.lower()
    assert 30 < row.gb_s < 5000
