"""Which archives of a release a host gets: by platform, by version and build, by what its drivers can."""

from __future__ import annotations

import pytest

from plugins.plugin_utils.archives import ArchiveError, backend_of
from plugins.plugin_utils.llama_cpp_archives import build_number, llama_cpp_archives
from plugins.plugin_utils.ollama_archives import ollama_archives
from tests.unit.platforms import NAMES, PLATFORMS

CHOICES = {"ollama": (ollama_archives, "version"), "llama_cpp": (llama_cpp_archives, "build")}


def nvidia(driver="580.95.05", capability="8.9", architecture="amd64", jetpack=None, name="RTX"):
    gpu = {"name": name, "backend": "cuda", "driver": driver, "compute_capability": capability}
    return {"system": "Linux", "architecture": architecture, "jetpack": jetpack, "accelerators": [gpu]}


def host(system="Linux", architecture="amd64", *backends):
    return {
        "system": system,
        "architecture": architecture,
        "accelerators": [{"name": name, "backend": name} for name in backends],
    }


@pytest.mark.parametrize("engine", CHOICES)
@pytest.mark.parametrize("name", NAMES)
def test_a_simulated_platform(name, engine):
    platform = PLATFORMS[name]
    choose, key = CHOICES[engine]
    expected = platform["expected"][engine]
    if "refusal" in expected:
        with pytest.raises(ArchiveError, match=expected["refusal"].replace(".", r"\.")):
            choose(platform["hardware"], expected[key])
    else:
        assert choose(platform["hardware"], expected[key]) == expected["archives"]


@pytest.mark.parametrize("name", NAMES)
def test_the_backend_of_a_platform(name):
    assert backend_of(PLATFORMS[name]["hardware"]) == PLATFORMS[name]["expected"]["backend"]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.13.5", ["ollama-linux-amd64.tgz", "ollama-linux-amd64-rocm.tgz"]),
        ("0.14.0", ["ollama-linux-amd64.tar.zst", "ollama-linux-amd64-rocm.tar.zst"]),
        ("v0.24.0", ["ollama-linux-amd64.tar.zst", "ollama-linux-amd64-rocm.tar.zst"]),
        ("0.33.0-rc2", ["ollama-linux-amd64.tar.zst", "ollama-linux-amd64-rocm.tar.zst"]),
    ],
)
def test_how_a_release_of_ollama_is_packed(version, expected):
    assert ollama_archives(host("Linux", "amd64", "rocm"), version) == expected


@pytest.mark.parametrize("version", ["0.13.0", "0.33.0"])
def test_a_mac_always_has_a_tgz(version):
    assert ollama_archives(host("Darwin", "arm64", "metal"), version) == ["ollama-darwin.tgz"]


@pytest.mark.parametrize(
    ("driver", "capability", "version", "refusal"),
    [
        ("550.54.14", "8.9", "0.33.0", None),
        ("549.99", "8.9", "0.33.0", "needs 550 or newer for compute capability 8.9"),
        ("535.230.02", "8.9", "0.24.0", None),
        ("530.41.03", "8.9", "0.24.0", "needs 531 or newer"),
        ("570.86.15", "6.1", "0.33.0", None),
        ("560.35.03", "6.1", "0.33.0", "needs 570 or newer for compute capability 6.1"),
        ("560.35.03", "7.0", "0.33.0", None),
        ("580.95.05", "3.7", "0.33.0", "computes with 5.0 and newer"),
        ("470.256.02", None, "0.33.0", "needs 550 or newer. Upgrade"),
        (None, None, "0.33.0", None),
    ],
)
def test_the_drivers_that_ollama_wants(driver, capability, version, refusal):
    if refusal is None:
        assert ollama_archives(nvidia(driver, capability), version) == ["ollama-linux-amd64.tar.zst"]
    else:
        with pytest.raises(ArchiveError, match=refusal):
            ollama_archives(nvidia(driver, capability), version)


def test_a_backend_that_is_named_is_taken_at_its_word():
    assert ollama_archives(nvidia("470.256.02"), "0.33.0", "cuda") == ["ollama-linux-amd64.tar.zst"]
    assert ollama_archives(host(), "0.33.0", "rocm")[1] == "ollama-linux-amd64-rocm.tar.zst"
    assert llama_cpp_archives(nvidia(), "b10488", "vulkan") == ["llama-b10488-bin-ubuntu-vulkan-x64.tar.gz"]
    assert llama_cpp_archives(nvidia("470.256.02"), "b11118", "cuda")[0] == "llama-b11118-bin-ubuntu-cuda-12.8-x64.tar.gz"


@pytest.mark.parametrize(
    ("hardware", "version", "backend", "refusal"),
    [
        (host("Linux", "riscv64"), "0.33.0", None, "no archive for Linux-riscv64"),
        (host("FreeBSD"), "0.33.0", None, "no archive for FreeBSD-amd64"),
        (host(), "latest", None, "expected a release such as 0.33.0"),
        (host(), "0.5.7", None, "not before 0.6.0"),
        (host("Linux", "arm64"), "0.33.0", "rocm", "no ROCm archive for Linux-arm64"),
        (host(), "0.33.0", "metal", "not to be had on Linux-amd64"),
        (host(), "0.33.0", "opencl", "backend opencl is not known"),
        ({}, "0.33.0", None, "got hardware without system, architecture, accelerators"),
        ("Linux", "0.33.0", None, "got hardware without"),
    ],
)
def test_what_ollama_refuses(hardware, version, backend, refusal):
    with pytest.raises(ArchiveError, match=refusal):
        ollama_archives(hardware, version, backend)


@pytest.mark.parametrize(
    ("build", "version"),
    [
        *((8757, "7.2"), (10355, "7.2"), (10356, "7.14"), (10397, "7.14"), (10398, None), (10488, None), (10581, None)),
        *((10582, "7.14"), (10766, "7.14"), (10767, "10.0"), (11512, "10.0")),
    ],
)
def test_the_rocm_archive_of_a_build(build, version):
    hardware = host("Linux", "amd64", "rocm")
    if version:
        assert llama_cpp_archives(hardware, build) == [f"llama-b{build}-bin-ubuntu-rocm-{version}-x64.tar.gz"]
    else:
        with pytest.raises(
            ArchiveError, match=f"llama.cpp b{build} has no archive for rocm on Linux-amd64; use backend cpu or vulkan"
        ):
            llama_cpp_archives(hardware, build)


@pytest.mark.parametrize(
    ("hardware", "build", "expected"),
    [
        (nvidia(), 10969, "ubuntu-cuda-12.8-x64"),
        (nvidia("570.133.20", "6.1"), 11512, "ubuntu-cuda-12.8-x64"),
        (nvidia(architecture="arm64"), 11057, "ubuntu-cuda-13.3-arm64"),
        (nvidia(architecture="arm64"), 11101, "ubuntu-cuda-13.4-arm64"),
    ],
)
def test_the_cuda_archives_of_a_build(hardware, build, expected):
    name = f"llama-b{build}-bin-{expected}.tar.gz"
    assert llama_cpp_archives(hardware, build) == [name, f"cudart-{name}"]


@pytest.mark.parametrize(
    ("hardware", "build", "refusal"),
    [
        (nvidia(), "b10968", r"take a build that has one \(b10969 or newer\), use backend vulkan, or the wheel"),
        (nvidia("550.54.14"), "b11118", "CUDA 12.8 needs 570 or newer"),
        (nvidia(capability="3.7"), "b11118", "computes with 5.0 and newer"),
        (nvidia(architecture="arm64"), "b11070", "no archive for cuda on Linux-arm64"),
        (
            nvidia(architecture="arm64", jetpack="6"),
            "b11118",
            "with JetPack 6, and no other build has; build llama.cpp on the host",
        ),
        (host("Darwin", "amd64", "metal"), "b10488", "no archive for metal on Darwin-amd64; use backend cpu"),
        (host("Linux", "riscv64"), "b10488", "no archive for cpu on Linux-riscv64; build llama.cpp on the host"),
        (host(), "b4000", "not before b8757"),
        (host(), "master", "expected a build such as b10488"),
    ],
)
def test_what_llama_cpp_refuses(hardware, build, refusal):
    with pytest.raises(ArchiveError, match=refusal):
        llama_cpp_archives(hardware, build)


@pytest.mark.parametrize("build", ["b10488", "10488", 10488])
def test_a_build(build):
    assert build_number(build) == 10488
