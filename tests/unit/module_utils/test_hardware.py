"""Hardware from recorded answers: whole machines, and each parser with what tools print on a bad day."""

from __future__ import annotations

import json

import pytest

from plugins.module_utils import hardware_amd, hardware_amd_tools, hardware_apple, hardware_cpu, hardware_intel, hardware_nvidia
from plugins.module_utils.hardware import hardware
from plugins.module_utils.hardware_jetson import module_name, release
from plugins.module_utils.hardware_machine import Machine, architecture_name, known
from plugins.module_utils.hardware_pci import PciGpu, device_names
from tests.unit.platforms import NAMES, PLATFORMS
from tests.unit.recorded_machine import RECORDINGS, RecordedMachine


def recorded(name, system="Linux", architecture="amd64"):
    return RecordedMachine(RECORDINGS / name, system, architecture)


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_machine(name):
    platform = PLATFORMS[name]
    facts = platform["facts"]
    machine = recorded(platform["recording"], facts["system"], architecture_name(facts["machine"]))
    assert hardware(machine) == platform["hardware"]


def test_every_recording_is_read_somewhere():
    elsewhere = {"amd-7900-xt-rocm-smi", "intel-arc-b580-small-window"}
    folders = {path.name for path in RECORDINGS.iterdir() if path.is_dir()}
    assert folders == {platform["recording"] for platform in PLATFORMS.values()} | elsewhere


def test_a_name_that_only_rocm_smi_tells():
    (found,) = hardware(recorded("amd-7900-xt-rocm-smi"))["accelerators"]
    assert (found["name"], found["bandwidth_gb_s"], found["memory_mib"]) == ("Radeon RX 7900 XT", 800, 20464)


def test_a_card_whose_memory_shows_through_a_small_window():
    told = hardware(recorded("intel-arc-b580-small-window"))
    (found,) = told["accelerators"]
    assert (found["memory_mib"], found["bandwidth_gb_s"]) == (None, 456)
    assert "cannot be told without resizable BAR" in told["notes"][0]


@pytest.mark.parametrize("system", ["Linux", "Darwin"])
def test_a_machine_that_tells_nothing(tmp_path, system):
    found = hardware(RecordedMachine(tmp_path, system, "riscv64"))
    assert found["accelerators"] == []
    assert (found["memory_mib"], found["cpu"]["model"], found["machine_model"]) == (None, None, None)


@pytest.mark.parametrize("text", ["", "\n", "garbage", "{", "[]", "null", '{"gpu_data": 3}', "0, a", "Failed to initialize NVML"])
def test_answers_that_are_none(tmp_path, text):
    """Every command answers this: nothing is found and nothing is raised."""
    commands = tmp_path / "commands"
    commands.mkdir()
    for name in ("nvidia-smi", "nvidia-smi.old", "lspci", "lscpu", "amd-smi", "rocm-smi", "sysctl", "system_profiler"):
        (commands / f"{name}.txt").write_text(text)
    device = tmp_path / "root/sys/bus/pci/devices/0000-01-00.0"
    device.mkdir(parents=True)
    (device / "uevent").write_text("DRIVER=amdgpu\nPCI_CLASS=30000\nPCI_ID=1002:744C\nPCI_SLOT_NAME=0000:01:00.0\n")
    for system in ("Linux", "Darwin"):
        found = hardware(RecordedMachine(tmp_path, system, "amd64"))
        assert [item["vendor"] for item in found["accelerators"]] == (["amd"] if system == "Linux" else [])


def test_a_file_that_is_not_there():
    assert Machine().read("/nowhere") is None


@pytest.mark.parametrize(
    ("text", "expected"), [(" x ", "x"), ("[N/A]", None), ("N/A", None), ("[Not Supported]", None), ("", None), (None, None)]
)
def test_what_a_tool_does_not_know(text, expected):
    assert known(text) == expected


def test_a_driver_of_another_version_is_told():
    device = PciGpu("0000:01:00.0", "nvidia", "1b38", "nvidia", "Tesla P40")
    (note,) = hardware_nvidia.nvidia_notes([device], "Failed to initialize NVML: Driver/library version mismatch")
    assert "nvidia-smi says: Failed to initialize NVML" in note


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        ("nouveau", "the free driver nouveau"),
        ("vfio-pci", "for a virtual machine"),
        (None, "has no driver"),
        ("nvidia", "no nvidia-smi"),
    ],
)
def test_why_an_nvidia_gpu_is_not_used(driver, expected):
    (note,) = hardware_nvidia.nvidia_notes([PciGpu("0000:01:00.0", "nvidia", "1b38", driver, None)], None)
    assert expected in note


def test_a_gpu_without_memory_of_its_own():
    """GB10: nvidia-smi knows no memory, the machine's is used."""
    (row,) = hardware_nvidia.rows("0, NVIDIA GB10, GPU-1, 580.95.05, [N/A], [N/A], 12.1\n", hardware_nvidia.FIELDS)
    assert (row["memory_mib"], row["compute_capability"]) == (None, "12.1")


def with_commands(tmp_path, **answers):
    (tmp_path / "commands").mkdir()
    for name, text in answers.items():
        (tmp_path / f"commands/{name.replace('_', '-')}.txt").write_text(text)
    return RecordedMachine(tmp_path, "Linux", "amd64")


SHARED_CELLS = ("[N/A]", "[Not Supported]", "N/A")
BROKEN_CELLS = {
    "[Unknown Error]": "Restart the host",
    "[GPU requires reset]": "Restart the host",
    "ERR!": "Restart the host",
    "0": "Restart the host",
    "": "Restart the host",
    "[Insufficient Permissions]": "Ask as root",
}


@pytest.mark.parametrize("cell", [*SHARED_CELLS, *BROKEN_CELLS])
def test_a_gpu_that_tells_no_memory(tmp_path, cell):
    """Only the words for a memory that it shares make it share the machine's; with any other it is left out and told."""
    rows = f"0, NVIDIA X, GPU-1, 580.1, {cell}, {cell}, 8.6\n1, NVIDIA Y, GPU-2, 580.1, 24576, 10, 8.6\n"
    machine = with_commands(tmp_path, nvidia_smi=rows)
    (tmp_path / "root/proc").mkdir(parents=True)
    (tmp_path / "root/proc/meminfo").write_text("MemTotal: 65536000 kB\n")
    found = hardware(machine)
    told = [(item["index"], item["kind"], item["memory_mib"]) for item in found["accelerators"]]
    if cell in SHARED_CELLS:
        assert (told, found["notes"]) == ([(0, "unified", 64000), (1, "gpu", 24576)], [])
        return
    (note,) = found["notes"]
    assert told == [(1, "gpu", 24576)]
    assert note.startswith(f"NVIDIA X (index 0, GPU-1) is left out: nvidia-smi says {cell!r} for its memory, expected MiB.")
    assert BROKEN_CELLS[cell] in note


@pytest.mark.parametrize(
    ("pci_id", "expected"),
    [("1002:74A1", ["Instinct MI300X"]), ("8086:7D1D", []), ("10DE:2204", [])],
    ids=["amd", "npu", "other"],
)
def test_a_processing_accelerator(tmp_path, pci_id, expected):
    """AMD's Instinct MI300 shows no display class; what Intel has of this class is an NPU."""
    line = "0000:05:00.0 Processing accelerators [1200]: Advanced Micro Devices, Inc. [AMD/ATI] Aqua Vanjaram [Instinct MI300X]"
    machine = with_commands(tmp_path, lspci=f"{line} [{pci_id.lower()}]\n")
    root = tmp_path / "root/sys"
    device, node = root / "bus/pci/devices/0000-05-00.0", root / "class/kfd/kfd/topology/nodes/2"
    for folder in (device, node):
        folder.mkdir(parents=True)
    driver = "DRIVER=amdgpu\n" if pci_id.startswith("1002") else ""
    (device / "uevent").write_text(f"{driver}PCI_CLASS=120000\nPCI_ID={pci_id}\nPCI_SLOT_NAME=0000:05:00.0\n")
    (device / "mem_info_vram_total").write_text(f"{192 * 2**30}\n")
    (node / "properties").write_text("gfx_target_version 90402\nlocation_id 1280\ndomain 0\n")
    found = hardware(machine)
    assert ([item["name"] for item in found["accelerators"]], found["notes"]) == (expected, [])
    for item in found["accelerators"]:
        assert (item["kind"], item["memory_mib"], item["gfx"], item["backend"]) == ("gpu", 196608, "gfx942", "rocm")


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (110000, "gfx1100"),
        (110501, "gfx1151"),
        (90010, "gfx90a"),
        (90402, "gfx942"),
        (100306, "gfx1036"),
        (120001, "gfx1201"),
        (0, None),
    ],
)
def test_the_name_of_a_graphics_target(version, expected):
    assert hardware_amd.gfx_name(version) == expected


def test_amd_smi_of_rocm_7_and_before():
    entry = {
        "bus": {"bdf": "0000:03:00.0"},
        "asic": {"market_name": "AMD Radeon RX 7900 XTX", "target_graphics_version": "gfx1100"},
    }
    newer = {"gpu_data": [{**entry, "vram": {"size": {"value": 24560, "unit": "MB"}}}]}
    older = [{**entry, "vram": {"size": "24560 MB"}}]
    expected = {"0000:03:00.0": {"name": "AMD Radeon RX 7900 XTX", "memory_mib": 24560, "used_mib": None, "gfx": "gfx1100"}}
    assert hardware_amd_tools.amd_smi(json.dumps(newer)) == expected
    assert hardware_amd_tools.amd_smi(json.dumps(older)) == expected


def test_rocm_smi_warns_before_it_answers():
    text = "WARNING: AMD GPU device(s) is/are in a low-power state.\n"
    text += '{"card0": {"PCI Bus": "0000:C4:00.0", "Card series": "Radeon 780M"}}'
    assert hardware_amd_tools.rocm_smi(text)["0000:c4:00.0"]["name"] == "Radeon 780M"


def test_driverless_amd_and_intel_cards(tmp_path):
    machine = RecordedMachine(tmp_path, "Linux", "amd64")
    amd = hardware_amd.amd_gpus(machine, [PciGpu("0000:01:00.0", "amd", "744c", None, None)])
    intel = hardware_intel.intel_gpus(machine, [PciGpu("0000:03:00.0", "intel", "e20b", None, "Arc B580")])
    assert (amd[0], intel[0]) == ([], [])
    assert "expected amdgpu" in amd[1][0]
    assert "expected i915 or xe" in intel[1][0]


def test_xe_tells_a_cards_memory(tmp_path):
    tile = tmp_path / "root/sys/bus/pci/devices/0000-03-00.0/tile0"
    tile.mkdir(parents=True)
    (tile / "physical_vram_size_bytes").write_text("12884901888\n")
    device = PciGpu("0000:03:00.0", "intel", "e20b", "xe", "Arc B580")
    assert hardware_intel.memory_mib(RecordedMachine(tmp_path, "Linux", "amd64"), device) == 12288


def test_names_of_lspci():
    text = (
        "0000:01:00.0 VGA compatible controller [0300]: NVIDIA Corporation AD104 [GeForce RTX 4070 Ti] [10de:2782] (rev a1)\n"
        "0000:02:00.0 3D controller [0302]: NVIDIA Corporation Device [10de:ffff]\n"
        "0000:03:00.0 Audio device [0403]: NVIDIA Corporation AD104 [10de:22bc]\n"
    )
    assert device_names(text) == {"0000:01:00.0": "GeForce RTX 4070 Ti", "0000:02:00.0": "Device"}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025", 36),
        ("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64, DATE: Tue Aug  1 19:57:35 UTC 2023", 35),
        ("# R32 (release), REVISION: 7.1, GCID: 29689809, BOARD: t186ref, EABI: aarch64, DATE: Wed Feb  2 21:33:23 UTC 2022", 32),
        ("", None),
    ],
)
def test_the_release_of_a_jetson(text, number):
    assert release(text) == number


def test_an_unknown_jetson_is_told(tmp_path):
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/nv_tegra_release").write_text("# R38 (release), REVISION: 4.0\n")
    found = hardware(RecordedMachine(tmp_path, "Linux", "arm64"))
    assert found["jetpack"] is None
    assert found["notes"] == ["Jetson Linux R38 is not known; expected R35 (JetPack 5) or R36 (JetPack 6)."]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("NVIDIA Jetson AGX Orin Developer Kit", "Jetson AGX Orin"),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", "Jetson Orin NX"),
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "Jetson Orin Nano Super"),
        ("Jetson-AGX", "Jetson AGX Xavier"),
    ],
)
def test_the_module_of_a_jetson(model, expected):
    assert module_name(model) == expected


def test_a_mac_under_rosetta(tmp_path):
    """A Python for Intel processors on Apple silicon."""
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands/sysctl.txt").write_text(
        "hw.memsize: 17179869184\nhw.optional.arm64: 1\nmachdep.cpu.brand_string: Apple M3\n"
    )
    found = hardware(RecordedMachine(tmp_path, "Darwin", "amd64"))
    assert found["architecture"] == "arm64"
    assert [(item["name"], item["gpu_cores"]) for item in found["accelerators"]] == [("Apple M3", None)]


def test_several_kinds_of_cores():
    listed = hardware_cpu.lscpu_values("Model name: Cortex-A510\n  Socket(s): 1\nModel name: Cortex-A710\n")
    assert listed["Model name"] == "Cortex-A510"


def test_the_displays_of_a_mac_without_cores():
    assert hardware_apple.gpus('{"SPDisplaysDataType": [{"_name": "x"}, 3, {}]}') == [("x", None)]
