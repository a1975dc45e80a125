"""Check mode on an empty host makes no unit, no user and no file."""

from __future__ import annotations

from typing import Any

import pytest

from tests import systemd_host as lab


def test_there_are_no_units(host: Any) -> None:
    assert lab.unit_files(host) == []


@pytest.mark.parametrize("user", sorted(set(lab.USERS.values())))
def test_there_are_no_users(host: Any, user: str) -> None:
    assert not host.user(user).exists


def test_there_are_no_files(host: Any) -> None:
    assert not host.file(lab.DIRECTORY).exists
