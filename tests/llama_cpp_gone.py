"""What is not there any more on a host of the scenario `llama_cpp` after a removal, whether its models stay or not."""

from __future__ import annotations

from typing import Any

from tests import llama_cpp_hosts as lab


class Gone:
    """No unit, no user, no process and no rule is left."""

    def test_there_are_no_units(self, host: Any) -> None:
        assert lab.unit_files(host) == []
        assert host.check_output("systemctl list-units --all --no-legend --plain 'homelab-llm-*'") == ""

    def test_there_is_no_user(self, host: Any) -> None:
        assert not host.user(lab.USER).exists
        assert not host.group(lab.USER).exists

    def test_nothing_listens(self, host: Any) -> None:
        addresses = [line.split()[3] for line in host.check_output("ss -Htln").splitlines()]
        assert [address for address in addresses if not address.endswith(":22")] == []

    def test_there_are_no_rules(self, host: Any) -> None:
        assert "homelab" not in host.run("nft list ruleset").stdout
