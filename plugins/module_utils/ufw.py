# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of one service in ufw: read from `ufw show added`, compared, and what to call ufw with.

The first rule that matches decides (ufw(8)), so ours stand before everybody else's: those who may, then nobody.
"""

from __future__ import annotations

import re
from typing import Iterable, NamedTuple, Sequence

BEGINNING = "ufw "
COMMENT = re.compile(r"(?P<rule>.*?) comment '(?P<comment>.*)'")
TAG = "homelab-llm "
LETS_IN = ("allow", "limit")


class Rule(NamedTuple):
    """One rule as `ufw show added` writes it, without comment, and its comment ("" for none)."""

    text: str
    comment: str

    @property
    def is_v6(self) -> bool:
        """Whether it is about IPv6 alone. Of all others ufw lists the IPv4 half, and all of those first."""
        return re.search(r" from [0-9a-f]*:", self.text) is not None

    @property
    def match(self) -> str:
        """What it is about, whatever it does with that. ufw holds one rule for each."""
        return self.text.partition(" ")[2]

    def arguments(self) -> list[str]:
        """The rule as words for ufw."""
        return self.text.split() + (["comment", self.comment] if self.comment else [])


def wanted_rules(name: str, ports: Iterable[int], networks: Sequence[str]) -> list[Rule]:
    """The rules that keep TCP ports to some addresses (as plugin_utils.firewall writes them), in their order."""
    tag, rules = TAG + name, []
    for port in ports:
        rules += [Rule(f"allow from {network} to any port {port} proto tcp", tag) for network in networks]
        rules.append(Rule(f"deny {port}/tcp", tag))
    return rules


def parse_added(text: str) -> list[Rule]:
    """The rules in the output of `ufw show added`, in its order."""
    lines = [line[len(BEGINNING) :].strip() for line in text.splitlines() if line.startswith(BEGINNING)]
    matches = [(line, COMMENT.fullmatch(line)) for line in lines]
    return [Rule(match["rule"], match["comment"]) if match else Rule(line, "") for line, match in matches]


def is_active(text: str) -> bool:
    """Whether `ufw status` (in the C locale) says that the firewall is on."""
    return any(line.strip() == "Status: active" for line in text.splitlines())


def stand_first(there: Sequence[Rule], name: str, wanted: Sequence[Rule]) -> bool:
    """Whether the rules of a service are the wanted ones, in order, with nobody's before them that lets in.

    IPv4 and IPv6 are compared apart. Services of ours do not mind each other, they have other ports.
    """
    tag = TAG + name
    for v6 in (False, True):
        half = [rule for rule in there if rule.is_v6 is v6]
        ours = [rule for rule in half if rule.comment == tag]
        if ours != [rule for rule in wanted if rule.is_v6 is v6]:
            return False
        before = half[: half.index(ours[-1])] if ours else []
        if any(rule.text.startswith(LETS_IN) and not rule.comment.startswith(TAG) for rule in before):
            return False
    return True


def in_the_way(there: Sequence[Rule], name: str, wanted: Sequence[Rule]) -> list[Rule]:
    """Rules of others about exactly what wanted ones are about: beside them ufw takes none of ours, and says nothing of it."""
    matches = {rule.match for rule in wanted}
    return [rule for rule in there if rule.match in matches and rule.comment != TAG + name]


def decide(there: Sequence[Rule], name: str, wanted: Sequence[Rule]) -> list[list[str]]:
    """What to call ufw with, one call after the other, so that the rules of a service are the wanted ones; none where they are.

    From the last to the first each is put before all others, so that no moment is more open than the one before.
    """
    if stand_first(there, name, wanted):
        return []
    ours = [rule for rule in there if rule.comment == TAG + name]
    calls = []
    for rule in reversed(wanted):
        if rule in ours:
            calls.append(["delete", *rule.text.split()])
        calls.append(["prepend", *rule.arguments()])
    return calls + [["delete", *rule.text.split()] for rule in ours if rule not in wanted]
