"""What the router's own word says of a generation that was asked for: a table of states."""

from __future__ import annotations

import json

import pytest

from plugins.plugin_utils.router_state import NOBODY, router_state


def one(revision, stage, pid):
    return {"revision": revision, "folder": f"/g/{revision}", "program": "/e/bin/python", "stage": stage, "pid": pid}


def told(*generations, refused=None, launches=1):
    last = {"revision": "r", "folder": "/g/r", "program": "/e/bin/python"}
    why = {"revision": refused, "reason": "it ended"} if refused else None
    return {"pid": 9, "launches": launches, "last": last, "refused": why, "generations": list(generations)}


BEFORE = told(one("old", "serving", 1))
SAME = told(one("new", "serving", 1))
STALE = told(one("old", "serving", 1), refused="new", launches=4)
# (state, state before, verdict on "new")
VERDICTS = {
    "it serves": (told(one("new", "serving", 2)), None, "serves"),
    "it serves, the old one drains": (told(one("new", "serving", 2), one("old", "draining", 1)), BEFORE, "serves"),
    "it starts": (told(one("old", "serving", 1), one("new", "starting", 2)), BEFORE, "waits"),
    "the old one serves": (BEFORE, BEFORE, "waits"),
    # The same revision once more: the process of before is no answer.
    "the old process of the same": (SAME, SAME, "waits"),
    "the old process while another starts": (
        told(one("new", "serving", 1), one("new", "starting", 2), launches=2),
        SAME,
        "waits",
    ),
    "a new process of the same": (told(one("new", "serving", 2), one("new", "draining", 1), launches=2), SAME, "serves"),
    "the same was refused": (told(one("new", "serving", 1), refused="new", launches=2), SAME, "refused"),
    "whoever serves it will do": (SAME, None, "serves"),
    "a third one starts already": (told(one("new", "serving", 2), one("other", "starting", 3)), BEFORE, "waits"),
    "refused": (told(one("old", "serving", 1), refused="new", launches=2), BEFORE, "refused"),
    "refused long ago": (STALE, STALE, "waits"),
    "another was refused": (told(one("old", "serving", 1), refused="other"), None, "waits"),
    "nobody": (told(), None, "waits"),
}


@pytest.mark.parametrize(("state", "before", "verdict"), VERDICTS.values(), ids=VERDICTS)
def test_a_verdict(state, before, verdict):
    earlier = router_state(json.dumps(before), "new") if before else None
    assert router_state(json.dumps(state), "new", earlier)["verdict"] == verdict


def test_who_serves():
    state = router_state(json.dumps(told(one("new", "serving", 2), one("old", "draining", 1))), "new")
    assert state["serving"]["pid"] == 2
    assert router_state(json.dumps(told(one("new", "starting", 2))), "new")["serving"] is None


# What a loss of power leaves, and what no router wrote.
CUT = ["", "\0\0\0\0", '{"pid": 7, "laun', '{"pid": 7}', "[]", "null", "7", json.dumps({**NOBODY, "generations": [7]})]


@pytest.mark.parametrize("text", CUT, ids=range(len(CUT)))
def test_a_cut_file_is_nobodys(text):
    state = router_state(text, "new")
    assert (state["pid"], state["generations"], state["serving"], state["verdict"]) == (0, [], None, "waits")


OWN = {"router": {"revision": "d1", "refused": None}, "address": {"host": "::", "port": 4000}}


@pytest.mark.parametrize("more", [{}, OWN], ids=["an earlier version", "this one"])
def test_what_the_program_says_of_itself(more):
    state = router_state(json.dumps({**SAME, **more}), "new")
    assert (state["router"], state["address"]) == (more.get("router"), more.get("address"))
    assert state["verdict"] == "serves"
