"""What the router's main process decides: a table of what it sees and what it does next."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[3] / "roles" / "litellm" / "files" / "serve_router.py"
SPEC = importlib.util.spec_from_file_location("serve_router", PATH)
router = importlib.util.module_from_spec(SPEC)
sys.modules["serve_router"] = router
SPEC.loader.exec_module(router)

NOW = 1000.0
SAID = {
    "revision": "two",
    "command": ["/env/bin/python", "serve.py"],
    "environment": {"A": 1},
    "secrets": "/router.env",
    "drain_s": 60,
    "start_limit_s": 120,
}


def generation(revision="one", stage="serving", for_s=10.0, **seen):
    wanted = router.Wanted(f"/g/{revision}", revision, ["python"], {}, "/router.env", 60, 120.0)
    return router.Generation(wanted, stage, NOW - for_s, **seen)


def decided(generations, asked=False, stopping=False, retry_at=0.0):
    """The steps as text: the verb and the revision that it is about."""
    steps = router.decide(router.Seen(NOW, generations, asked, stopping, retry_at))
    return [f"{step.verb} {step.about.wanted.revision}" if step.about else step.verb for step in steps]


SERVES = generation()
# name -> (what is there, what else was seen, steps)
CASES = {
    "begins": ([], {"asked": True}, ["start"]),
    "goes on": ([SERVES], {}, []),
    "is told to reload": ([SERVES], {"asked": True}, ["start"]),
    "waits for the new one": ([SERVES, generation("two", "starting")], {}, []),
    "one new one at a time": ([SERVES, generation("two", "starting")], {"asked": True}, []),
    "the new one answers": ([SERVES, generation("two", "starting", ready=True)], {}, ["promote two", "drain one"]),
    "the first one answers": ([generation("one", "starting", ready=True)], {}, ["promote one"]),
    "the old one finishes": ([generation("one", "draining"), generation("two")], {}, []),
    "the old one has finished": ([generation("one", "draining", ended=True), generation("two")], {}, ["forget one"]),
    "the old one takes too long": ([generation("one", "draining", 70.1), generation("two")], {}, ["kill one"]),
    "the old one may take its time": ([generation("one", "draining", 69.9), generation("two")], {}, []),
    "reload while one finishes": ([generation("one", "draining"), generation("two")], {"asked": True}, ["start"]),
    "the new one ends": ([SERVES, generation("two", "starting", ended=True)], {}, ["refuse two"]),
    "the new one ends, another is asked for": (
        [SERVES, generation("two", "starting", ended=True)],
        {"asked": True},
        ["refuse two", "start"],
    ),
    "the new one takes too long": ([SERVES, generation("two", "starting", 120.1)], {}, ["kill two", "refuse two"]),
    "the first one ends": ([generation("one", "starting", ended=True)], {}, ["refuse one"]),
    "it crashes": ([generation(ended=True)], {}, ["crashed one"]),
    "it has crashed": ([], {"retry_at": NOW}, ["again"]),
    "it has crashed too often": ([], {"retry_at": NOW + 1}, []),
    "it crashes while the new one starts": ([generation(ended=True), generation("two", "starting")], {}, ["crashed one"]),
    "it crashes when the new one answers": (
        [generation(ended=True), generation("two", "starting", ready=True)],
        {},
        ["crashed one", "promote two"],
    ),
    "it stops": ([SERVES], {"stopping": True}, ["drain one"]),
    "it stops amid a reload": ([SERVES, generation("two", "starting")], {"stopping": True}, ["drain one", "kill two"]),
    "it stops, one is finishing": ([generation(stage="draining")], {"stopping": True}, []),
    "it stops, one takes too long": ([generation(stage="draining", for_s=71)], {"stopping": True}, ["kill one"]),
    "it stops, all have finished": ([generation(stage="draining", ended=True)], {"stopping": True}, ["forget one", "finish"]),
    "it stops, nothing is there": ([], {"stopping": True}, ["finish"]),
    "it stops and is told to reload": ([], {"stopping": True, "asked": True}, ["finish"]),
}


@pytest.mark.parametrize(("there", "seen", "steps"), CASES.values(), ids=CASES)
def test_what_is_done_next(there, seen, steps):
    assert decided(there, **seen) == steps


@pytest.mark.parametrize(("there", "seen", "steps"), CASES.values(), ids=CASES)
def test_one_that_serves_is_given_up_only_for_one_that_answers(there, seen, steps):
    taken = any(one.stage == "serving" and f"drain {one.wanted.revision}" in steps for one in there)
    promoted = any(step.startswith("promote") for step in decided(there, **seen))
    assert not taken or promoted or seen.get("stopping")


@pytest.mark.parametrize(("crashes", "seconds"), [(0, 0.0), (1, 0.0), (2, 1.0), (3, 2.0), (6, 30.0), (99, 30.0)])
def test_each_crash_waits_longer(crashes, seconds):
    assert router.retry_s(crashes) == seconds


def test_the_link_is_followed_once(tmp_path):
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "generation.json").write_text(json.dumps(SAID))
    (tmp_path / "current").symlink_to("two")
    wanted = router.read_wanted(str(tmp_path / "current"))
    assert (wanted.folder, wanted.revision) == (str(tmp_path / "two"), "two")
    assert (wanted.environment, wanted.drain_s, wanted.start_limit_s) == ({"A": "1"}, 60, 120.0)


BROKEN = {
    "nothing": None,
    "no JSON": "{",
    "a list": "[]",
    "no command": json.dumps({**SAID, "command": None}),
    "no limit": json.dumps({name: value for name, value in SAID.items() if name != "drain_s"}),
    "no number": json.dumps({**SAID, "drain_s": "long"}),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_description_is_named(tmp_path, text):
    if text is not None:
        (tmp_path / "generation.json").write_text(text)
    with pytest.raises(ValueError, match=r"generation\.json: .*run the deployment again"):
        router.read_wanted(str(tmp_path))


def test_secrets_are_read_as_they_are():
    text = "# a comment=1\nLITELLM_MASTER_KEY=sk-a=b\n\nnothing\n  OTHER=x y \n"
    assert router.read_secrets(text) == {"LITELLM_MASTER_KEY": "sk-a=b", "OTHER": "x y"}


def test_a_state_that_cannot_be_written_is_said_and_nothing_ends(tmp_path, capsys):
    options = argparse.Namespace(state=str(tmp_path / "nowhere" / "state.json"))
    serving = router.Router(options, listener=None)
    serving.tell()
    assert "state.json cannot be written: No such file or directory" in capsys.readouterr().out
    options.state = str(tmp_path / "state.json")
    serving.tell()
    assert json.loads((tmp_path / "state.json").read_text())["generations"] == []
