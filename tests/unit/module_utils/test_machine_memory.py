"""The memories of a machine: what nvidia-smi and a Mac say, and what is to be had without either."""

from __future__ import annotations

import pytest

from plugins.module_utils.machine_memory import NVIDIA, WIRED_LIMIT, accelerators_here, nvidia_gpus, ram_in_use_mib


def saying(**answers):
    return lambda command: answers.get({NVIDIA: "nvidia", WIRED_LIMIT: "wired"}[tuple(command)])


CASES = [
    ("Linux", "x86_64", {}, 1000.0, [("ram", "cpu", 1000.0, 0.0, None)]),
    (
        "Linux",
        "x86_64",
        {"nvidia": "0, 24576, 300\n1, 8192, 0\n"},
        1000.0,
        [("gpu0", "gpu", 24576.0, 300.0, None), ("gpu1", "gpu", 8192.0, 0.0, None), ("ram", "cpu", 1000.0, 0.0, None)],
    ),
    ("Darwin", "arm64", {"wired": "0\n"}, 65536.0, [("metal", "unified", 65536.0, 0.0, None)]),
    ("Darwin", "arm64", {"wired": "57344\n"}, 65536.0, [("metal", "unified", 65536.0, 0.0, 57344.0)]),
    ("Darwin", "x86_64", {}, 65536.0, [("ram", "cpu", 65536.0, 0.0, None)]),
]


@pytest.mark.parametrize(("system", "machine", "answers", "memory_mib", "expected"), CASES)
def test_what_a_machine_has(system, machine, answers, memory_mib, expected):
    found = accelerators_here(saying(**answers), memory_mib, system, machine, "")
    assert [(item.name, item.kind, item.memory_mib, item.reserved_mib, item.wired_limit_mib) for item in found] == expected


@pytest.mark.parametrize("text", ["", "No devices were found", "0, [N/A], 3\n", "a, b, c\n", "0, 1\n", "0, 0, 0\n"])
def test_answers_that_name_no_gpu(text):
    assert nvidia_gpus(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MemTotal:       4096 kB\nMemFree:  1 kB\nMemAvailable:    1024 kB\n", 3.0),
        ("MemTotal:       1024 kB\nMemAvailable:    4096 kB\n", 0.0),
        ("MemTotal:       4096 kB\n", 0.0),
        ("MemTotal: many\nMemAvailable: some\n", 0.0),
        ("", 0.0),
    ],
)
def test_what_is_in_use_of_ram(text, expected):
    assert ram_in_use_mib(text) == expected


def test_what_is_in_use_is_reserved():
    (found,) = accelerators_here(saying(), 1000.0, "Linux", "x86_64", "MemTotal: 4096 kB\nMemAvailable: 1024 kB\n")
    assert found.reserved_mib == 3.0
