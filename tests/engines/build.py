"""Real engines for the tests: `python -m tests.engines.build NAME...`, or `all`.

Prints a line at least every ten seconds and closes with one line "NAME: FOLDER" for each, or "skipped: NAME: why" for what
cannot be had here (no compiler, no Go, no network). Ends with 3 where nothing can be had, with 1 where a build fails or a
checksum is wrong.

What is made is kept in the user's cache (XDG_CACHE_HOME is honoured) under a key that stands for its recipe, its sources and
the machine's CPU: the compilers may use every instruction that this CPU has, so another type of CPU gets a build of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engines.commands import SAY_EVERY_S, BuildFailed, Unavailable, run, say
from tests.engines.recipes import RECIPES, Recipe, Work, jobs

UNAVAILABLE = 3
LOCK_LIMIT_S = 1700.0
# Raised with every change of how things are made that their ingredients do not show.
RECIPE_VERSION = "1"


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
    parts = [*(key_of(RECIPES[name]) for name in recipe.needs), RECIPE_VERSION, recipe.name, *recipe.ingredients]
    parts += [lock.read_text(encoding="utf-8") for lock in recipe.locks]
    if recipe.compiled:
        parts += [platform.machine(), *platform.libc_ver(), cpu_type()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def folder_of(name: str) -> Path:
    """Where something is, or will be. A folder that is there is complete."""
    return cache_folder() / f"{name}-{key_of(RECIPES[name])}"


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Holds the cache's lock; the kernel lets go of it with the process."""
    folder, started, said = cache_folder(), time.monotonic(), float("-inf")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as stream:
        while not locked(stream.fileno()):
            now = time.monotonic()
            if now - started > LOCK_LIMIT_S:
                raise BuildFailed(f"another build holds {folder / 'lock'} for {now - started:.0f} s")
            if now - said > SAY_EVERY_S:
                said = now
                say(f"another build is under way in {folder}, waited {now - started:.0f} s")
            time.sleep(0.2)
        yield


def locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def engine(name: str) -> Path:
    """The folder of something, made where it is not there yet."""
    target = folder_of(name)
    if not target.is_dir():
        with one_at_a_time():
            for needed in (*RECIPES[name].needs, name):
                if not folder_of(needed).is_dir():
                    build(RECIPES[needed])
    return target


def build(recipe: Recipe) -> None:
    """Make something in a folder of its own and move it to its place when it is whole. Needs the lock."""
    cache, started = cache_folder(), time.monotonic()
    built = {name: folder_of(name) for name in recipe.needs}
    work = Work(cache / f"unfinished-{recipe.name}", cache / f"{recipe.name}.log", built)
    # Whoever left it is gone: the lock is ours.
    shutil.rmtree(work.folder, ignore_errors=True)
    work.folder.mkdir()
    work.log.unlink(missing_ok=True)
    say(f"{recipe.name} is not in {cache}: making it, once, with {jobs()} jobs")
    try:
        recipe.make(work)
        try_out(recipe, work)
        seconds = round(time.monotonic() - started)
        about = {"name": recipe.name, "ingredients": recipe.ingredients, "seconds": seconds, "jobs": jobs()}
        (work.made / "about.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
        work.made.rename(folder_of(recipe.name))
        say(f"{recipe.name}: made in {seconds} s")
    finally:
        shutil.rmtree(work.folder, ignore_errors=True)


def try_out(recipe: Recipe, work: Work) -> None:
    """Every command is there, and the first one runs and knows its version."""
    missing = [command for command in recipe.commands if not os.access(work.made / command, os.X_OK)]
    if missing:
        raise BuildFailed(f"{recipe.name}: the build ended well and made no {', '.join(missing)}; its log: {work.log}")
    for command in recipe.commands[:1]:
        # A server that listens here already is none of our business: nobody listens on port 1.
        env = {"OLLAMA_HOST": "127.0.0.1:1"}
        said = run(f"{recipe.name}: trying it", [str(work.made / command), "--version"], work.log, env)
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
            skipped.append(f"skipped: {name}: {error}")
        except BuildFailed as error:
            print(error, flush=True)
            return 1
    for reason in skipped:
        print(reason, flush=True)
    return UNAVAILABLE if len(skipped) == len(names) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
