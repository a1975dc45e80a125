"""After the removal: no unit, no user, no process and no file is left."""

from __future__ import annotations

from typing import Any

import pytest

from tests import systemd_host as lab


def test_there_are_no_units(host: Any) -> None:
    assert lab.unit_files(host) == []
    assert host.check_output("systemctl list-units --all --no-legend --plain 'homelab-llm-*'") == ""


@pytest.mark.parametrize("user", sorted(set(lab.USERS.values())))
def test_there_are_no_users(host: Any, user: str) -> None:
    assert not host.user(user).exists
    assert not host.group(user).exists


def test_nothing_listens(host: Any) -> None:
    addresses = [line.split()[3] for line in host.check_output("ss -Htln").splitlines()]
    assert [address for address in addresses if not address.endswith(":22")] == []


def test_there_are_no_files(host: Any) -> None:
    assert host.check_output("find / -xdev -path /proc -prune -o -name '*homelab*' -not -path '/var/log/*' -print").split() in (
        [],
        [lab.DIRECTORY],
    )
    assert host.run("find %s -mindepth 1", lab.DIRECTORY).stdout == ""
