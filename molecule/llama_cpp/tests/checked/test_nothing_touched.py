"""Check mode on empty hosts makes no unit, no user and no file, and fetches nothing."""

from __future__ import annotations

from typing import Any

from tests import llama_cpp_hosts as lab


def test_there_are_no_units_but_the_old_one(host: Any) -> None:
    old = ["/etc/systemd/system/homelab-llm-llama-cpp-smollm2.service"]
    assert lab.unit_files(host) == (old if lab.name_of(host) == "elm" else [])


def test_there_is_no_user(host: Any) -> None:
    assert not host.user(lab.USER).exists


def test_there_are_no_files(host: Any) -> None:
    assert not host.file("/opt/homelab-llm").exists


def test_there_are_no_rules(host: Any) -> None:
    assert "homelab" not in host.run("nft list ruleset").stdout


def test_nothing_was_fetched(host: Any) -> None:
    assert lab.requests(lab.name_of(host)) == []
