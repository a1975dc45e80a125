"""Check mode on empty hosts makes no unit, no user and no file, and fetches nothing."""

from __future__ import annotations

from typing import Any

from tests import ollama_hosts as lab


def test_there_are_no_units(host: Any) -> None:
    assert host.run("systemctl list-unit-files --no-legend --plain 'homelab-llm-*'").stdout == ""


def test_there_is_no_user(host: Any) -> None:
    assert not host.user(lab.USER).exists


def test_there_are_no_files(host: Any) -> None:
    assert not host.file("/opt/homelab-llm").exists
    assert not host.file(lab.STORE).exists
    assert not host.file(lab.TEXTFILE).exists


def test_there_are_no_rules(host: Any) -> None:
    assert "homelab" not in host.run("nft list ruleset").stdout


def test_no_archive_and_no_model_was_fetched() -> None:
    assert [request["path"] for request in lab.mirror_requests() if request["path"].endswith(".zst")] == []
    assert lab.blob_bytes() == 0
