"""Rules in ufw: read as version 0.36.2 prints them, compared, and what is called to mend them."""

from __future__ import annotations

import pytest

from plugins.module_utils.ufw import Rule, decide, in_the_way, is_active, parse_added, stand_first, wanted_rules

TAG = "homelab-llm ollama"
ADDED = f"""Added user rules (see 'ufw status' for running firewall):
ufw allow from 10.0.0.7 to any port 11434 proto tcp comment '{TAG}'
ufw deny 11434/tcp comment '{TAG}'
ufw allow 22/tcp
ufw limit from 10.0.0.0/8 to any port 80 comment 'it is a comment 'of mine''
ufw allow from fd00::7 to any port 11434 proto tcp comment '{TAG}'
"""
V4, DENY, V6 = (
    Rule("allow from 10.0.0.7 to any port 11434 proto tcp", TAG),
    Rule("deny 11434/tcp", TAG),
    Rule("allow from fd00::7 to any port 11434 proto tcp", TAG),
)
SSH, MINE = Rule("allow 22/tcp", ""), Rule("limit from 10.0.0.0/8 to any port 80", "it is a comment 'of mine'")
OTHER = Rule("deny 8080/tcp", "homelab-llm other")
MINE_V6 = Rule("allow from fd00::/16 to any port 11434 proto tcp", "")


def test_rules_are_read():
    assert parse_added(ADDED) == [V4, DENY, SSH, MINE, V6]
    assert parse_added("Added user rules (see 'ufw status' for running firewall):\n(None)\n") == []


@pytest.mark.parametrize(("text", "active"), [("Status: active\n\nTo", True), ("Status: inactive\n", False), ("", False)])
def test_the_status_is_read(text, active):
    assert is_active(text) is active


def test_rules_are_written_as_ufw_shows_them():
    assert wanted_rules("ollama", [11434], ["10.0.0.7", "fd00::7"]) == [V4, V6, DENY]
    assert wanted_rules("ollama", [1, 2], []) == [Rule("deny 1/tcp", TAG), Rule("deny 2/tcp", TAG)]


WANTED = [V4, V6, DENY]
# (what is there, whether that is right)
STANDING = {
    "as wanted": ([V4, DENY, SSH, V6], True),
    "after another service of ours": ([OTHER, V4, DENY, V6, MINE_V6], True),
    "in the wrong order": ([DENY, V4, V6], False),
    "after somebody's": ([SSH, V4, DENY, V6], False),
    "somebody's in between": ([V4, SSH, DENY, V6], False),
    "after somebody's of IPv6": ([V4, DENY, MINE_V6, V6], False),
    "one is missing": ([V4, DENY], False),
    "one too many": ([V4, DENY, V6, Rule("deny 1/tcp", TAG)], False),
    "nothing": ([], False),
}


@pytest.mark.parametrize(("there", "right"), STANDING.values(), ids=STANDING.keys())
def test_only_rules_that_stand_first_are_right(there, right):
    assert stand_first(there, "ollama", WANTED) is right
    assert (decide(there, "ollama", WANTED) == []) is right


def play(there, calls):
    """What ufw makes of calls: it deletes by what a rule says and puts the others first, IPv4 before IPv6."""
    rules = list(there)
    for call in calls:
        text = " ".join(call[1:]).partition(" comment ")[0]
        comment = " ".join(call[1:]).partition(" comment ")[2]
        if call[0] == "delete":
            rules.remove(next(rule for rule in rules if rule.text == text))
        elif text not in [rule.text for rule in rules]:
            rules.insert(0, Rule(text, comment))
    return sorted(rules, key=lambda rule: rule.is_v6)


@pytest.mark.parametrize("there", [case[0] for case in STANDING.values()], ids=STANDING.keys())
def test_the_calls_lead_there_and_leave_others_alone(there):
    after = play(there, decide(there, "ollama", WANTED))
    assert stand_first(after, "ollama", WANTED)
    assert [rule for rule in after if rule.comment != TAG] == [rule for rule in there if rule.comment != TAG]


def test_nothing_wanted_removes_ours_alone():
    there = [V4, DENY, SSH, OTHER, V6]
    assert play(there, decide(there, "ollama", [])) == [SSH, OTHER]
    assert decide([SSH, OTHER], "ollama", []) == []


WAYS = [
    (Rule("allow 11434/tcp", ""), True),
    (Rule("deny 11434/tcp", "mine"), True),
    (Rule("deny 11434/tcp", "homelab-llm other"), True),
    (Rule("limit from 10.0.0.7 to any port 11434 proto tcp", ""), True),
    (Rule("allow 11434", ""), False),
    (DENY, False),
]


@pytest.mark.parametrize(("rule", "blocks"), WAYS, ids=range(len(WAYS)))
def test_what_ufw_would_silently_not_take_is_known_before(rule, blocks):
    assert (in_the_way([SSH, rule], "ollama", WANTED) == [rule]) is blocks
