"""Before anything is touched: does an engine listen where those who connect reach it?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLES = Path(__file__).parents[3] / "roles"
LOOK, KNOWN, REACHED = yaml.safe_load((ROLES / "service" / "tasks" / "preflight_listen.yml").read_text(encoding="utf-8"))
OLLAMA = yaml.safe_load((ROLES / "ollama" / "vars" / "main.yml").read_text(encoding="utf-8"))
LOOPBACK = {"is_name": True, "addresses": ["127.0.1.1"], "is_reachable": False, "own_address": "192.168.1.11"}
OUTSIDE = {"is_name": True, "addresses": ["192.168.1.11"], "is_reachable": True, "own_address": "192.168.1.11"}
UNKNOWN = {"is_name": True, "addresses": [], "is_reachable": False, "own_address": None}
ADDRESS = {"is_name": False, "addresses": ["127.0.0.1"], "is_reachable": False, "own_address": None}


def evaluated(text: str, **given: Any) -> Any:
    return Templar(loader=DataLoader(), variables=given).template(trust_as_template(text))


def refusals(listens: dict[str, Any], outsiders: bool) -> list[str]:
    given = {
        "inventory_hostname": "star",
        "service_name": "engine",
        "service_listens": listens,
        "service_outsiders": outsiders,
        "service_listen_address": "star.lan",
        "service_listen_variable": "llm_host.address",
        "service_listen_harm": "no other machine reaches it",
    }
    checks = [task["ansible.builtin.assert"] for task in (KNOWN, REACHED)]
    return [evaluated(check["fail_msg"], **given) for check in checks if not evaluated("{{ " + check["that"] + " }}", **given)]


@pytest.mark.parametrize(
    ("listens", "outsiders", "words"),
    [
        (OUTSIDE, True, []),
        (ADDRESS, True, []),
        (LOOPBACK, False, []),
        (LOOPBACK, True, ["star.lan is 127.0.1.1 on the host itself", "Set llm_host.address: 192.168.1.11, or"]),
        (UNKNOWN, False, ["does not know the name star.lan", "Set llm_host.address: the host's address"]),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(listens: dict[str, Any], outsiders: bool, words: list[str]) -> None:
    found = refusals(listens, outsiders)
    assert len(found) == (1 if words else 0)
    assert all(word in found[0] for word in words)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("localhost", True),
        ("Star", True),
        ("star.local", True),
        ("star.lan", False),
        ("starlocal", False),
        ("192.168.1.11", False),
    ],
)
def test_to_which_names_an_ollama_answers_on_a_loopback_address(name: str, expected: bool) -> None:
    given = {"ollama_listen_address": name, "ansible_facts": {"nodename": "star"}}
    assert evaluated(OLLAMA["ollama_answers_to_name"], **given) is expected
