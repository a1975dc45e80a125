"""What the router's main process decides: a table of what it sees and what it does next."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path

import pytest
import yaml

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
HANGS = generation(beat=NOW - 120.1)
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
    "the event loop turns": ([generation(beat=NOW - 119.9)], {}, []),
    "the event loop stands still": ([HANGS], {}, ["again"]),
    "it stands still, and the fresh one did not come up": ([HANGS], {"retry_at": NOW + 1}, []),
    "it stands still while the fresh one starts": ([HANGS, generation(stage="starting")], {}, []),
    "the fresh one answers": ([HANGS, generation("two", "starting", ready=True)], {}, ["promote two", "kill one"]),
    "it turns again when the fresh one answers": (
        [generation(beat=NOW - 1), generation("two", "starting", ready=True)],
        {},
        ["promote two", "drain one"],
    ),
    "another one drains, the older one hurries": (
        [generation("one", "draining", 69), generation("two", "draining", 60.1), generation("three")],
        {},
        ["kill one"],
    ),
    "it may hurry": ([generation("one", "draining", 65), generation("two", "draining", 59.9), generation("three")], {}, []),
    "nobody hurries at the end": (
        [generation("one", "draining", 69), generation("two", "draining", 60.1)],
        {"stopping": True},
        [],
    ),
    "what was killed is gone": ([SERVES, generation("two", "killed", ended=True)], {}, ["forget two"]),
    "what was killed is waited for": ([SERVES, generation("two", "killed", 9.9)], {}, []),
    "what was killed does not go": ([SERVES, generation("two", "killed", 10.1)], {}, ["forget two"]),
    "it stops, what was killed is waited for": ([generation("two", "killed", 9.9)], {"stopping": True}, []),
    "a reload while what was killed is there": ([SERVES, generation("two", "killed", 1)], {"asked": True}, ["start"]),
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


def serving_router(tmp_path, **handed):
    options = argparse.Namespace(state=str(tmp_path / "state.json"), current=str(tmp_path / "current"), host="::1", port=7)
    begins = {"listener": 5, "launches": 0, "crashes": 0, "retry_at": 0.0, "last": None, "generations": []}
    return router.Router(options, argparse.Namespace(asked=False), router.Handed(**{**begins, **handed}), listener=None)


def test_a_state_that_cannot_be_written_is_said_and_nothing_ends(tmp_path, capsys):
    serving = serving_router(tmp_path)
    options = serving.options
    options.state = str(tmp_path / "nowhere" / "state.json")
    serving.tell()
    assert "state.json cannot be written: No such file or directory" in capsys.readouterr().out
    options.state = str(tmp_path / "state.json")
    serving.tell()
    told = json.loads((tmp_path / "state.json").read_text())
    assert (told["generations"], told["address"]) == ([], {"host": "::1", "port": 7})


def adopted(pid, **more):
    one = generation(**more)
    one.process = router.Adopted(pid)
    return one


def test_what_is_handed_over_arrives(monkeypatch):
    there = [adopted(41, stage="draining", hears=-1), adopted(42, revision="two", hears=7, ready=True, beat=NOW - 3)]
    handed = router.Handed(5, 3, 2, NOW + 4, there[1].wanted, there)
    monkeypatch.setattr(router.time, "monotonic", lambda: NOW)
    text = handed.write()
    assert router.Handed.read(text) == handed
    # The next program's clock is another one.
    monkeypatch.setattr(router.time, "monotonic", lambda: NOW - 900)
    read = router.Handed.read(text)
    assert [(one.process.pid, one.hears, one.since, one.beat) for one in read.generations] == [
        (41, -1, 90, None),
        (42, 7, 90, 97),
    ]
    assert (read.listener, read.launches, read.crashes, read.retry_at, read.last) == (5, 3, 2, 104, there[1].wanted)


@pytest.mark.parametrize("text", ['{"format": 99}', "{}", "no JSON"], ids=["another format", "nothing", "no JSON"])
def test_what_another_program_hands_over_is_refused(text):
    with pytest.raises((ValueError, KeyError)):
        router.Handed.read(text)


def test_the_role_restarts_a_program_that_hands_over_in_another_format():
    variables = yaml.safe_load((PATH.parents[1] / "vars" / "main.yml").read_text(encoding="utf-8"))
    assert variables["litellm_handover_format"] == str(router.FORMAT)


def unreadable(path):
    path.write_bytes(b"LITELLM_MASTER_KEY=\xff")


# what is wrong with the file of secrets -> what the refusal names
SECRETS = {
    "none": (lambda _path: None, "No such file"),
    "no text": (unreadable, "utf-8"),
}


@pytest.mark.parametrize(("make", "named"), SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("verb", ["start", "again"])
def test_what_cannot_be_started_is_refused_and_tried_again_later(tmp_path, make, named, verb):
    (tmp_path / "current").mkdir()
    secrets = tmp_path / "router.env"
    make(secrets)
    said = {**SAID, "secrets": str(secrets)}
    (tmp_path / "current" / "generation.json").write_text(json.dumps(said))
    last = router.read_wanted(str(tmp_path / "current"))
    serving = serving_router(tmp_path, last=last)
    serving.listener = argparse.Namespace(fileno=lambda: 5)
    getattr(serving, verb)(router.Step(verb))
    assert serving.refused["revision"] == "two"
    assert named in serving.refused["reason"]
    assert (serving.last, serving.generations, serving.crashes, serving.over) == (last, [], 1, False)


def test_a_generation_says_that_it_answers_and_that_it_lives(tmp_path):
    reads, writes = router.os.pipe()
    one = generation(stage="starting", hears=reads)
    serving = serving_router(tmp_path, generations=[one])
    key = serving.waker.register(reads, router.selectors.EVENT_READ, one)
    router.os.write(writes, b"ready")
    serving.hear(key)
    assert one.ready
    first = one.beat
    router.os.write(writes, b".")
    serving.hear(key)
    assert one.ready
    assert one.beat >= first
    # An earlier version's program says one word and closes.
    router.os.close(writes)
    serving.hear(key)
    assert (one.ready, one.beat, one.hears) == (True, None, -1)
