"""Check mode on an empty host makes no unit, no user and no file."""

from __future__ import annotations

from typing import Any

from tests import litellm_host as lab


def test_there_is_no_unit(host: Any) -> None:
    assert host.run("systemctl cat %s", lab.UNIT).rc != 0


def test_there_is_no_user(host: Any) -> None:
    assert not host.user(lab.USER).exists


def test_there_are_no_files(host: Any) -> None:
    assert not host.file(lab.DIRECTORY).exists
