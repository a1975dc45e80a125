"""After the removal: no unit, no user, no process and no file of the router is left."""

from __future__ import annotations

from typing import Any

from tests import litellm_host as lab


def test_there_is_no_unit(host: Any) -> None:
    assert host.run("systemctl cat %s", lab.UNIT).rc != 0


def test_there_is_no_user(host: Any) -> None:
    assert not host.user(lab.USER).exists
    assert not host.group(lab.USER).exists


def test_nobody_listens(host: Any) -> None:
    assert f":{lab.PORT} " not in host.check_output("ss -Htln")


def test_there_are_no_files(host: Any) -> None:
    assert not host.file(lab.DIRECTORY).exists


def test_no_process_is_left(host: Any) -> None:
    assert "serve_" not in host.check_output("ps -eo args")
