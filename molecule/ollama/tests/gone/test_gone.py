"""After the removal: nothing is left, but the models of the host that was to keep them."""

from __future__ import annotations

from typing import Any

from tests import ollama_hosts as lab


def test_there_are_no_units(host: Any) -> None:
    assert host.run("systemctl list-unit-files --no-legend --plain 'homelab-llm-*'").stdout == ""
    assert host.check_output("systemctl list-units --all --no-legend --plain 'homelab-llm-*'") == ""


def test_there_is_no_user(host: Any) -> None:
    assert not host.user(lab.USER).exists
    assert not host.group(lab.USER).exists


def test_nothing_listens(host: Any) -> None:
    addresses = [line.split()[3] for line in host.check_output("ss -Htln").splitlines()]
    assert [address for address in addresses if not address.endswith(":22")] == []


def test_no_rule_is_left(host: Any) -> None:
    assert "homelab" not in host.check_output("nft list ruleset")


def test_there_are_no_files(host: Any) -> None:
    """A module that a test has killed leaves its own archive in /tmp, where Ansible unpacks it."""
    elsewhere = " ".join(f"-path '{path}' -prune -o" for path in ("/proc", "/sys", "/var/log", "/tmp/ansible_*", lab.STORE))
    assert host.check_output(f"find / {elsewhere} -name '*homelab*' -print").split() == ["/opt/homelab-llm"]
    assert host.check_output("find /opt/homelab-llm -mindepth 1") == ""


def test_only_one_host_has_its_models() -> None:
    kept = lab.reach("larch").check_output("cd %s/blobs && sha256sum *", lab.STORE).splitlines()
    assert lab.weights("lab/smollm2:135m")["digest"].removeprefix("sha256:") in {line.split()[0] for line in kept}
    assert [line for line in kept if f"sha256-{line.split()[0]}" != line.split()[1]] == []
    assert not lab.reach("rowan").file(lab.STORE).exists
