"""What the role `firewall` writes: the rules of nftables and the unit that loads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest

TEMPLATES = Path(__file__).parents[3] / "roles/firewall/templates"
VALUES = {
    "firewall_name": "ollama",
    "firewall_table": "homelab_llm_ollama",
    "firewall_digest": "0123456789ab",
    "firewall_rules_file": "/etc/homelab-llm-ollama.nft",
    "firewall_ports": [11434, 8080],
    "firewall_networks": {"v4": ["10.0.0.7", "10.1.0.0/16"], "v6": ["fd00::7"]},
}
NETWORKS = {
    "both": (
        ["10.0.0.7", "10.1.0.0/16"],
        ["fd00::7"],
        ["ip saddr { 10.0.0.7, 10.1.0.0/16 } accept", "ip6 saddr { fd00::7 } accept"],
    ),
    "one": (["10.0.0.7"], [], ["ip saddr { 10.0.0.7 } accept"]),
    "nobody": ([], [], []),
}


def render(template, **changes):
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(template).render({**VALUES, **changes}).rstrip("\n") + "\n"


@pytest.mark.parametrize(("v4", "v6", "lets_in"), NETWORKS.values(), ids=NETWORKS.keys())
def test_only_those_who_may_come_before_the_end(v4, v6, lets_in):
    lines = [line.strip() for line in render("rules.nft.j2", firewall_networks={"v4": v4, "v6": v6}).splitlines()]
    kept = lines[lines.index("chain kept {") + 1 :]
    assert kept == ['iifname "lo" accept', *lets_in, "counter drop", "}", "}"]


def test_nothing_but_the_first_packets_to_the_ports_is_looked_at():
    lines = [line.strip() for line in render("rules.nft.j2").splitlines()]
    chain = lines[lines.index("chain input_0123456789ab {") : lines.index("chain kept {")]
    assert [line for line in chain if "policy" in line] == ["type filter hook input priority filter; policy accept;"]
    assert [line for line in chain if "jump" in line] == [
        "tcp dport { 11434, 8080 } tcp flags & (fin | syn | rst | ack) == syn jump kept"
    ]


def test_no_other_table_is_named():
    words = render("rules.nft.j2").split()
    assert {
        words[place + 1 : place + 3][-1] for place, word in enumerate(words) if word == "table" and words[place + 1] == "inet"
    } == {"homelab_llm_ollama"}
    assert "flush" not in words


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
def test_systemd_takes_the_unit(tmp_path):
    # The program may be missing here; that there is one is the role's to see to.
    text = render("firewall.service.j2").replace("=nft ", "=/bin/true ").replace("=-nft ", "=-/bin/true ")
    unit = tmp_path / "homelab-llm-firewall-ollama.service"
    unit.write_text(text)
    command = ["systemd-analyze", "verify", "--recursive-errors=no", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    about_us = [line for line in (done.stdout + done.stderr).splitlines() if "homelab-llm-" in line]
    assert (done.returncode, about_us) == (0, [])
