"""The user of a service: made with a group of its own, and left alone where it was there."""

from __future__ import annotations

import grp
import pwd
import sys

import pytest

from tests.commands.command import ROOT, playbook

NEW = "homelab-llm-nobody-has"
# One whose group has another name, such as nobody in nogroup.
GROUPS = {group.gr_gid: group.gr_name for group in grp.getgrall()}
OTHERS = next((user for user in pwd.getpwall() if GROUPS.get(user.pw_gid) != user.pw_name), None)


def ran(who: str, door: str, system: str = "Linux") -> str:
    told = ["-e", f"who={who}", "-e", f"door={door}", "-e", f"of={system}", "-e", f"ansible_python_interpreter={sys.executable}"]
    result = playbook("-i", "localhost,", "tests/commands/service_user.yml", "--check", *told, cwd=ROOT)
    assert result.code == 0, result.text
    return " ".join(result.text.split())


@pytest.mark.parametrize("system", ["Linux", "Darwin"])
def test_a_new_user_gets_a_group_of_its_own(system: str) -> None:
    said = ran(NEW, "user.yml", system)
    assert "Make the system group] " in said
    assert f"group={NEW}." in said
    assert "changed=2 " in said


@pytest.mark.skipif(OTHERS is None, reason="every user here has a group of its name")
def test_a_user_that_is_there_is_left_alone() -> None:
    said = ran(OTHERS.pw_name, "user.yml")
    assert f"group={OTHERS.pw_gid}." in said
    assert "changed=0 " in said


@pytest.mark.parametrize("who", [NEW, OTHERS.pw_name if OTHERS else "root"])
def test_only_a_user_of_this_role_is_removed(who: str) -> None:
    assert "changed=0 " in ran(who, "remove_user.yml")
