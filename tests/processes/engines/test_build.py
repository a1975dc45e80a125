"""What is built once is kept whole or not at all, and what cannot be had is skipped with its reason."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines import build, commands
from tests.engines.commands import BuildFailed, Unavailable, fetch, run
from tests.engines.recipes import Recipe, Work

Maker = Callable[[Work], None]


def makes(text: str) -> Maker:
    def make(work: Work) -> None:
        command = work.made / "bin" / "tool"
        command.parent.mkdir(parents=True)
        command.write_text(f"#!/bin/sh\necho {text}\n", encoding="utf-8")
        command.chmod(0o755)

    return make


def fails(error: Exception) -> Maker:
    def make(work: Work) -> None:
        work.made.mkdir()
        raise error

    return make


TOOL = Recipe("tool", makes("tool 1.2"), ("1.2",), commands=("bin/tool",), says="1.2")


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Recipe]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "RECIPES", {})
    return build.RECIPES


def test_what_is_there_is_not_made_again(recipes: dict[str, Recipe], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipes["tool"] = TOOL
    assert build.main(["all"]) == 0
    recipes["tool"] = replace(TOOL, make=fails(BuildFailed("again")))
    assert build.main(["tool"]) == 0
    first, second = (line for line in capsys.readouterr().out.splitlines() if line.startswith("tool: "))
    assert first == second
    assert Path(first.removeprefix("tool: ")).parent == tmp_path / "homelab-llm" / "engines"
    assert (Path(first.removeprefix("tool: ")) / "bin" / "tool").is_file()


@pytest.mark.parametrize(
    ("recipe", "code", "words"),
    [
        (replace(TOOL, make=fails(Unavailable("no compiler"))), 3, "skipped: tool: no compiler"),
        (replace(TOOL, make=fails(BuildFailed("it broke"))), 1, "it broke"),
        (replace(TOOL, says="1.3"), 1, "expected '1.3'"),
        (replace(TOOL, commands=("bin/tool", "bin/other")), 1, "made no bin/other"),
    ],
)
def test_what_is_not_whole_is_not_kept(
    recipes: dict[str, Recipe], recipe: Recipe, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipes["tool"] = recipe
    assert build.main(["all"]) == code
    assert words in capsys.readouterr().out
    assert not build.folder_of("tool").exists()
    assert list(build.cache_folder().glob("unfinished-*")) == []


def test_what_can_be_had_is_there_beside_what_cannot(recipes: dict[str, Recipe]) -> None:
    recipes["none"] = Recipe("none", fails(Unavailable("no network")), ())
    recipes["tool"] = TOOL
    assert build.main(["all"]) == 0
    assert build.folder_of("tool").is_dir()


def test_an_unknown_name_is_refused(recipes: dict[str, Recipe], capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["tol"]) == 2
    assert "tol" in capsys.readouterr().out


def test_the_key_stands_for_everything_that_decides(
    recipes: dict[str, Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("a==1", encoding="utf-8")
    recipe = replace(TOOL, locks=(lock,))
    recipes["other"] = Recipe("other", makes("x"), ("1",))
    changed = [recipe, replace(recipe, ingredients=("1.3",)), replace(recipe, needs=("other",)), replace(recipe, compiled=False)]
    keys = [build.key_of(item) for item in changed]
    lock.write_text("a==2", encoding="utf-8")
    keys.append(build.key_of(recipe))
    monkeypatch.setattr(build, "cpu_type", lambda: "another CPU")
    keys.append(build.key_of(recipe))
    assert len(set(keys)) == len(keys)
    assert build.key_of(changed[3]) not in keys[:3]


@pytest.mark.parametrize(
    ("said", "error"),
    [("could not resolve the host", Unavailable), ("THESE PACKAGES DO NOT MATCH THE HASHES from the requirements", BuildFailed)],
)
def test_a_wrong_checksum_is_no_missing_network(tmp_path: Path, said: str, error: type[Exception]) -> None:
    script = f"import sys; print({said!r}); sys.exit(1)"
    with pytest.raises(error, match=said[:10]):
        fetch("fetching", [sys.executable, "-c", script], tmp_path / "log")


def test_a_command_says_how_far_it_is_and_ends_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "SAY_EVERY_S", 0.1)
    monkeypatch.setattr(commands, "COMMAND_LIMIT_S", 0.5)
    script = "import time; print('step 7', flush=True); time.sleep(60)"
    with pytest.raises(BuildFailed, match="not ready"):
        run("compiling", [sys.executable, "-c", script], tmp_path / "log")
    assert "step 7" in capsys.readouterr().out


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(Unavailable, match="go and c\\+\\+ missing"):
        commands.need("go", "c++")
