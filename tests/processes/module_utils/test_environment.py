"""Environments from locks: when one is current, what is never deleted, and that a failure replaces nothing."""

from __future__ import annotations

import json
import os
import stat
import sys

import pytest

from plugins.module_utils import environment as environments

HASH = "--hash=sha256:" + "a" * 64
LOCK = f"thing==1.0 {HASH}\n"
INTERPRETER = environments.Interpreter(sys.executable, "3.11", "3.11.7")

# Stands for uv: makes the folders of an environment, and on `pip install` ends as the file `outcome` beside it says.
FAKE_UV = """#!/bin/sh
if [ "$1" = venv ]; then
  for last; do :; done
  mkdir -p "$last/bin" && printf 'home = x\\n' > "$last/pyvenv.cfg"
  printf '#!%s/bin/python\\n' "$last" > "$last/bin/tool"
  cp /bin/true "$last/bin/python"
  packages="$last/lib/python3.11/site-packages"
  mkdir -p "$packages/thing-1.0.dist-info" && touch "$packages/thing.py"
  lists="$packages/thing-1.0.dist-info"
  printf 'thing.py,sha256=x,1\\n"never.py",,\\n../../../bin/tool,,\\n__pycache__/thing.pyc,,\\n' >"$lists/RECORD"
else
  echo "installer says no"; exit "$(cat "$(dirname "$0")/outcome")"
fi
"""


@pytest.fixture
def uv(tmp_path):
    path = tmp_path / "uv"
    path.write_text(FAKE_UV)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "outcome").write_text("0")
    return str(path)


def wanted(tmp_path, **changes):
    values = {"path": str(tmp_path / "environment"), "lock": LOCK, "interpreter": INTERPRETER, "dependencies": True}
    return environments.Wanted(**{**values, **changes})


CHANGES = [
    ({}, True),
    ({"lock": f"thing==1.1 {HASH}\n"}, False),
    ({"interpreter": environments.Interpreter(sys.executable, "3.12", "3.12.0")}, False),
    ({"interpreter": environments.Interpreter(sys.executable, "3.11", "3.11.9")}, True),
    ({"dependencies": False}, False),
]


@pytest.mark.parametrize(("changes", "current"), CHANGES)
def test_an_environment_is_current_for_its_lock_and_python(tmp_path, uv, changes, current):
    environments.make(wanted(tmp_path), uv)
    assert environments.is_current(wanted(tmp_path, **changes)) is current


def test_scripts_carry_the_final_path(tmp_path, uv):
    environments.make(wanted(tmp_path), uv)
    assert (tmp_path / "environment/bin/tool").read_text() == f"#!{tmp_path}/environment/bin/python\n"
    assert sorted(os.listdir(tmp_path)) == ["environment", "outcome", "uv"]


def test_a_failed_installation_replaces_nothing(tmp_path, uv):
    environments.make(wanted(tmp_path), uv)
    (tmp_path / "outcome").write_text("2")
    with pytest.raises(environments.EnvironmentFailure, match=r"ended with 2, expected 0.*\ninstaller says no"):
        environments.make(wanted(tmp_path, lock=f"thing==2.0 {HASH}\n"), uv)
    assert environments.is_current(wanted(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["environment", "outcome", "uv"]


def damage_stamp(folder):
    (folder / environments.STAMP).write_text("{")


def damage_python(folder):
    (folder / "bin/python").unlink()


def damage_half_made(folder):
    (folder / environments.STAMP).unlink()


def damage_package(folder):
    (folder / "lib/python3.11/site-packages/thing.py").unlink()


def damage_script(folder):
    (folder / "bin/tool").unlink()


@pytest.mark.parametrize("damage", [damage_stamp, damage_python, damage_half_made, damage_package, damage_script])
def test_a_damaged_environment_is_made_again(tmp_path, uv, damage):
    environments.make(wanted(tmp_path), uv)
    damage(tmp_path / "environment")
    assert not environments.is_current(wanted(tmp_path))
    environments.make(wanted(tmp_path), uv)
    assert environments.is_current(wanted(tmp_path))


def test_what_was_never_there_is_not_missed_and_compiled_files_may_go(tmp_path, uv):
    environments.make(wanted(tmp_path), uv)
    packages = tmp_path / "environment/lib/python3.11/site-packages"
    assert not (packages / "never.py").exists()
    assert not (packages / "__pycache__").exists()
    assert environments.is_current(wanted(tmp_path))
    assert environments.lost_files(str(tmp_path / "environment"), "3.11") == []


def test_files_of_somebody_else_are_never_replaced_or_removed(tmp_path, uv):
    folder = tmp_path / "environment"
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")
    for attempt in (lambda: environments.make(wanted(tmp_path), uv), lambda: environments.remove(str(folder))):
        with pytest.raises(environments.EnvironmentFailure, match="no virtual environment"):
            attempt()
    assert (folder / "thesis.txt").read_text() == "precious"


def test_removal_takes_what_an_interrupted_run_left(tmp_path, uv):
    environments.make(wanted(tmp_path), uv)
    (tmp_path / "environment.building").mkdir()
    environments.remove(str(tmp_path / "environment"))
    assert sorted(os.listdir(tmp_path)) == ["outcome", "uv"]


def test_the_stamp_names_the_pins(tmp_path, uv):
    environments.make(wanted(tmp_path), uv)
    stamp = json.loads((tmp_path / "environment" / environments.STAMP).read_text())
    assert stamp["packages"] == ["thing==1.0"]


def test_an_interpreter_that_is_none_is_named():
    with pytest.raises(environments.EnvironmentFailure, match="/bin/false is no Python"):
        environments.inspect_interpreter("/bin/false")


def test_variables_of_another_environment_do_not_reach_the_installer(monkeypatch):
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PIP_CERT", "/ca.pem")
    variables = environments.clean_environment()
    assert "PIP_TARGET" not in variables
    assert variables["PIP_CERT"] == "/ca.pem"
