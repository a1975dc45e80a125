"""Runs the stages of the tests one after the other, goes on after a failing one, and closes with what was counted.

Usage: run.py STAGE...      The last line is "N passed, N failed, N skipped"; the exit code is 1 if anything failed.
A pytest case, a lint tool, a test of ansible-test sanity and a molecule step count one each.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "tests"
# A stage that says nothing for this long is reported as still running.
QUIET_S = 10.0
# A whole run should take 60 minutes at most; no single command may use more than half of that.
LIMIT_S = 1800.0
# Building the engines takes 11 to 15 minutes on two cores that have nothing else to do, asking them 4. What is built when the
# time is over is kept, and the next run goes on from there.
ENGINES_BUILD_LIMIT_S = 1500.0
ENGINES_LIMIT_S = 900.0
# When the whole run has to be over, in seconds since 1970. What would not end before is skipped and said.
END = "TESTS_END"
SCENARIO_S, STAGE_S = 600.0, 300.0
# The molecule scenario of `make integration`; those named drill-* are drills, all others are scenarios.
EMBEDDED = "embedded"
# What a scenario needs, by the command that makes it ready; one that is not here needs nothing.
CONTAINERS, OLLAMA = ("tests/container.py", "check"), ("-m", "tests.ollama_servers", "check")
ENGINE, LLAMA_CPP = ("-m", "tests.engines.build", "ollama-0.33.0"), ("-m", "tests.llama_cpp_servers", "check")
NEEDS = {
    "systemd": (CONTAINERS,),
    "ollama": (CONTAINERS, OLLAMA),
    "llama_cpp": (CONTAINERS, LLAMA_CPP),
    "litellm": (CONTAINERS,),
    "embedded-ollama": (ENGINE,),
}
# The variable that names the Ollama of a scenario which has no container.
BINARY = "EMBEDDED_OLLAMA_BINARY"
# How a line of the closing summary begins that names something broken; .ci/run looks for it.
BROKEN = "broken: "
LINES, LINE_CHARACTERS = 20, 240
# How these commands, and tests/engines/build.py, say that there is none.
UNAVAILABLE = 3
# The exit code of a command that was ended because it took too long, as timeout(1) has it.
TIMED_OUT = 124


@dataclass(frozen=True)
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    # What failed, by the names its tools give it.
    broken: tuple[str, ...] = field(default=(), compare=False)

    def __add__(self, other: Count) -> Count:
        broken = self.broken + other.broken
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped, broken)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


@dataclass
class Result:
    code: int
    lines: list[str] = field(default_factory=list)
    command: str = ""

    @property
    def count(self) -> Count:
        """The command as one check."""
        return Count(failed=len(self.broken), broken=self.broken) if self.broken else Count(passed=1)

    @property
    def broken(self) -> tuple[str, ...]:
        return (self.command,) if self.code else ()


def say(text: str) -> None:
    print(text, flush=True)


def read_lines(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    for line in process.stdout or ():
        lines.put(line)
    lines.put(None)


def end_group(process: subprocess.Popen[str]) -> None:
    """End a command and what it started, all in its own process group."""
    for number, patience_s in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience_s)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def run(command: list[str], *, cwd: Path = ROOT, env: dict[str, str] | None = None, limit_s: float = LIMIT_S) -> Result:
    """Run a command, show its output as it comes (a sign of life when none comes), and end it after `limit_s`."""
    say(f"$ {' '.join(command)}")
    try:
        process = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **(env or {})}, text=True, errors="replace", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        say(f"cannot start: {error}")
        return Result(127, command=" ".join(command))
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=read_lines, args=(process, lines), daemon=True).start()
    result, started = Result(0, command=" ".join(command)), time.monotonic()
    try:
        follow(lines, result, started, limit_s)
    except (TimeoutError, KeyboardInterrupt) as error:
        say(f"ended after {time.monotonic() - started:.0f} s: {error or 'interrupted'}")
        end_group(process)
        if isinstance(error, KeyboardInterrupt):
            raise
        return Result(TIMED_OUT, result.lines, result.command)
    return Result(process.wait(), result.lines, result.command)


def follow(lines: queue.Queue[str | None], result: Result, started: float, limit_s: float) -> None:
    """Show and keep lines until the output ends; a TimeoutError when that takes longer than `limit_s`."""
    while True:
        try:
            line = lines.get(timeout=QUIET_S)
        except queue.Empty:
            say(f"  … {time.monotonic() - started:.0f} s")
        else:
            if line is None:
                return
            sys.stdout.write(line)
            sys.stdout.flush()
            result.lines.append(line.rstrip("\n"))
        if time.monotonic() - started > limit_s:
            raise TimeoutError(f"longer than {limit_s:.0f} s")


def count_junit(path: Path) -> Count:
    """Cases of a JUnit file, as pytest and ansible-test write it."""
    count = Count()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        broken = bool(kinds & {"failure", "error"})
        skipped = not broken and "skipped" in kinds
        count += Count(int(not broken and not skipped), int(broken), int(skipped))
    return count


# A line of pytest's short summary, of ansible-test's list of findings, or of a task that failed.
NAMED = re.compile(r"(?:FAILED|ERROR) \S+(?:\.py\b|::)|ERROR: |fatal: ")


def pytest_stage(name: str, folder: str, marker: str, *more: str, none_code: int = 0, **limits: Any) -> Count:
    """pytest over a folder; its exit code 5 means that no test was there, which is fine only where `none_code` is 5.

    `limits` are `run`'s.
    """
    report = WORK / f"{name}.xml"
    report.unlink(missing_ok=True)
    result = run([sys.executable, "-m", "pytest", "-q", folder, "-m", marker, *more, f"--junitxml={report}"], **limits)
    count = count_junit(report) if report.is_file() else Count()
    unexplained = result.code not in (0, none_code) and not count.failed
    return count + Count(failed=int(unexplained), broken=tuple(filter(NAMED.match, result.lines)) or result.broken)


# For tests of which none needs another one, or the machine for itself.
SIDE_BY_SIDE = ("-n", "auto", "--maxprocesses", "4", "--dist")


def unit() -> Count:
    # Code that the next run need not compile again, also where the caller keeps Python from writing any.
    return pytest_stage("unit", "tests/unit", "not property", *SIDE_BY_SIDE, "worksteal", env={"PYTHONDONTWRITEBYTECODE": ""})


def processes() -> Count:
    """What talks to servers on loopback or starts processes."""
    return pytest_stage("processes", "tests/processes", "not property", *SIDE_BY_SIDE, "worksteal")


def commands() -> Count:
    """The commands of a user, run as a user runs them: the README's, and broken inventories."""
    return pytest_stage("commands", "tests/commands", "not property", *SIDE_BY_SIDE, "loadscope")


def real() -> Count:
    """The collection against real servers that need neither root nor containers."""
    return pytest_stage("real", "tests/real", "not property")


def property_cases() -> Count:
    count = pytest_stage("property", "tests", "property", none_code=5)
    if count == Count():
        say("property: none yet")
    return count


LINTERS = [
    ["yamllint", "--strict", "."],
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
    ["mypy"],
    ["ansible-lint", "--offline", "--strict"],
]


def lint() -> Count:
    return sum((run(command).count for command in LINTERS), Count())


def copy_tracked(target: Path) -> None:
    """The tracked files as a git repository where ansible-test wants a collection; it refuses the link in the clone."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        source, copy = ROOT / name, target / name
        if source.is_file() and not name.startswith(".collections/"):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
    for command in (["git", "init", "--quiet"], ["git", "add", "--all"]):
        subprocess.run(command, cwd=target, check=True)


def sanity() -> Count:
    """ansible-test sanity, its caches kept in build/tests/home."""
    trees, home = WORK / "sanity", WORK / "home"
    shutil.rmtree(trees, ignore_errors=True)
    target = trees / "ansible_collections" / "homelab" / "llm"
    target.mkdir(parents=True)
    copy_tracked(target)
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    # The name carries the version of pip that ansible-test of ansible-core 2.19 puts into its environments.
    shutil.copy2(ROOT / "tests" / "sanity" / "get_pip.py", cache / "get_pip_24_2.py")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    result = run(["ansible-test", "sanity", "--python", python, "--junit", "--color", "no"], cwd=target, env={"HOME": str(home)})
    count = sum(map(count_sanity, (target / "tests" / "output" / "junit").glob("*.xml")), Count())
    broken = tuple(filter(NAMED.match, result.lines)) or result.broken
    return count + Count(failed=int(result.code != 0 and not count.failed), broken=broken)


def count_sanity(path: Path) -> Count:
    """One file per test of ansible-test, however many findings it lists."""
    count = count_junit(path)
    return Count(failed=1) if count.failed else Count(passed=1) if count.passed else Count(skipped=1)


COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Molecule's log line at the end of a step.
MOLECULE_STEP = re.compile(r"^[A-Z]+ +\[\S+ > [^\]]+\] Executed: (?P<state>.+)")
# After a failing step molecule also calls a cleanup that no scenario here has.
NO_CLEANUP = "> cleanup] Executed: Missing"
PYTEST_WORD = re.compile(r"(\d+) (passed|failed|errors?|skipped)")
PYTEST_LINE = re.compile(r"^(?:=+ )?\d+ (?:passed|failed|errors?|skipped).* in [\d.]+s")
BROKEN_STATE = re.compile("failed|missing", re.IGNORECASE)


def count_molecule(result: Result) -> Count:
    """Steps of molecule's closing details, and the cases of each pytest run that its verifier showed."""
    count = Count()
    for line in (COLOUR.sub("", line) for line in result.lines):
        step = None if NO_CLEANUP in line else MOLECULE_STEP.match(line)
        if step and BROKEN_STATE.search(step["state"]):
            count += Count(failed=1, broken=(line,))
        elif step:
            count += Count(passed=1)
        elif PYTEST_LINE.match(line):
            for number, word in PYTEST_WORD.findall(line):
                key = {"passed": "passed", "skipped": "skipped"}.get(word, "failed")
                count += Count(**{key: int(number)})
        elif NAMED.match(line):
            count += Count(broken=(line,))
    return count + (result.count if result.code and not count.failed else Count())


def left_s() -> float:
    """Seconds that are left of a run which has an end."""
    end = os.environ.get(END)
    return float(end) - time.time() if end else float("inf")


def molecule(names: list[str]) -> Count:
    count = Count()
    for name in names:
        if left_s() < SCENARIO_S:
            say(f"skipped: {name}: the time of this run is over")
            count += Count(skipped=1)
            continue
        # Molecule's own place is named after the clone's last folder only, which two clones may share.
        env = {"NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", "MOLECULE_EPHEMERAL_DIRECTORY": str(WORK / "molecule" / name)}
        command = ["molecule", "test", "--report", "--no-command-borders", "--scenario-name", name]
        count += count_molecule(run(command, env={**env, **engine_of(name)}))
    return count


def engine_of(name: str) -> dict[str, str]:
    """The variable with the Ollama that was built for a scenario, unless the user named one."""
    if ENGINE not in NEEDS.get(name, ()) or os.environ.get(BINARY):
        return {}
    # Its last line is "NAME: FOLDER".
    folder = run([sys.executable, *ENGINE]).lines[-1].partition(": ")[2]
    return {BINARY: f"{folder}/bin/ollama"}


def molecule_names(wanted: Callable[[str], bool]) -> list[str]:
    return sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml") if wanted(path.parent.name))


def integration() -> Count:
    return molecule([EMBEDDED])


def scenarios() -> Count:
    """Every scenario that this machine can have; a thing that several of them need is had once."""
    names = molecule_names(lambda name: name != EMBEDDED and not name.startswith("drill-"))
    lacks = {command: lacking(command) for command in dict.fromkeys(command for name in names for command in NEEDS.get(name, ()))}
    possible = []
    for name in names:
        reasons = [reason for command in NEEDS.get(name, ()) if (reason := lacks[command])]
        if reasons:
            say(f"skipped: {name}: {'; '.join(reasons)}")
        else:
            possible.append(name)
    return molecule(possible) + Count(skipped=len(names) - len(possible))


def lacking(command: tuple[str, ...]) -> str | None:
    """Why what the command makes ready cannot be had here; None where it can, and where only a scenario would tell why not."""
    result = run([sys.executable, *command], limit_s=min(ENGINES_BUILD_LIMIT_S, left_s() / 2))
    if result.code == TIMED_OUT:
        return "engines are not built yet, run it again"
    return result.lines[-1] if result.code == UNAVAILABLE else None


def engines() -> Count:
    """Predictions and the replay of admission against real engines, which are built once."""
    result = run([sys.executable, "-m", "tests.engines.build", "all"], limit_s=min(ENGINES_BUILD_LIMIT_S, left_s() / 2))
    if result.code == UNAVAILABLE:
        return Count(skipped=1)
    if result.code == TIMED_OUT:
        # A slow machine: what is built is kept and used, and the next run goes on.
        say("skipped: engines that are not built yet: run it again")
    elif result.code:
        return Count(failed=1)
    return pytest_stage("engines", "tests/engines", "engines", limit_s=ENGINES_LIMIT_S)


def rules() -> Count:
    """What the audit says against real releases of LiteLLM, whose environments are made once."""
    result = run([sys.executable, "-m", "tests.rules.environments", "wanted"])
    if result.code == UNAVAILABLE:
        return Count(skipped=1)
    return result.count if result.code else pytest_stage("rules", "tests/rules", "not property", "tests/proxy")


def drills() -> Count:
    names = molecule_names(lambda name: name.startswith("drill-"))
    if not names:
        say("drills: none yet")
    return molecule(names)


STAGES: dict[str, Callable[[], Count]] = {
    "unit": unit,
    "processes": processes,
    "commands": commands,
    "lint": lint,
    "sanity": sanity,
    "integration": integration,
    "real": real,
    "property": property_cases,
    "scenarios": scenarios,
    "engines": engines,
    "rules": rules,
    "drills": drills,
}


def stage(name: str) -> Count:
    """Run a stage; its own mistake is a failure and not the end of the run."""
    if left_s() < STAGE_S:
        say(f"skipped: {name}: the time of this run is over")
        return Count(skipped=1)
    try:
        return STAGES[name]()
    except Exception as error:
        return Count(failed=1, broken=(f"{type(error).__name__}: {error}",))


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in STAGES]
    if unknown or not names:
        say(f"run.py: unknown stages {unknown}, known are {list(STAGES)}")
        return 2
    WORK.mkdir(parents=True, exist_ok=True)
    rows, broken, total = [], [], Count()
    for name in names:
        say(f"\n── {name} " + "─" * (70 - len(name)))
        started = time.monotonic()
        count = stage(name)
        total += count
        broken += [f"{BROKEN}{name}: {line[:LINE_CHARACTERS]}" for line in count.broken[: LINES * bool(count.failed)]]
        rows.append(f"{name:<12} {count.passed:>7} {count.failed:>7} {count.skipped:>8} {time.monotonic() - started:>7.0f} s")
    say("\n".join(["", f"{'stage':<12} {'passed':>7} {'failed':>7} {'skipped':>8} {'time':>9}", *rows, "", *broken, str(total)]))
    return int(total.failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
