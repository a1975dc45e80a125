"""The canary's process: it comes up or says why not, may end meanwhile, leaves nobody behind, and knows nothing of others."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest

from plugins.module_utils import service_user
from plugins.module_utils.canary import CanaryFailure, Wanted, ask_all, running
from plugins.module_utils.litellm_check import Refusal, check

# What serve_generation.py does with its variables, up to the point where LiteLLM would answer.
UP = """
import os, socket, sys, time
listener = socket.socket(fileno=int(os.environ["ROUTER_LISTEN_FD"]))
os.write(int(os.environ["ROUTER_READY_FD"]), b"ready")
"""
QUESTION = {"model": "d", "name": "alias", "mode": "chat", "timeout_s": 60.0, "address": "", "exact": True,
            "unchanged": False, "behind": []}  # fmt: skip


def wanted(tmp_path, program, questions=(QUESTION,), environment=None, timeout_s=60.0, start_timeout_s=20.0):
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, str(tmp_path / "program.py")]
    secrets = tmp_path / "router.env"
    secrets.write_text("LITELLM_MASTER_KEY=sk-of-those-who-serve\nENGINE_KEY=secret\nREDIS_PASSWORD=p\n")
    more = {"secrets": str(secrets), "user": "", "questions": list(questions), "serving": None}
    limits = {"start_timeout_s": start_timeout_s, "timeout_s": timeout_s}
    return Wanted(command=command, folder=str(tmp_path), environment=environment or {}, **more, **limits)


# Program -> what is said of it.
FAILURES = {
    "it does not come up": ("import sys; sys.exit('no such model')", ["it ended before it answered", "no such model"]),
    "it ends while it is asked": (
        UP + "connection, address = listener.accept(); sys.exit('out of memory')",
        ["it came up and ended with 1 while it was asked", "out of memory"],
    ),
    "it ends before it is asked": (UP + "print('bye'); sys.exit(3)", ["ended with 3", "bye"]),
}


@pytest.mark.parametrize(("program", "words"), FAILURES.values(), ids=FAILURES)
def test_a_canary_that_ends_is_noticed_with_its_last_words(tmp_path, program, words):
    started = time.monotonic()
    with pytest.raises(CanaryFailure) as raised:
        ask_all(wanted(tmp_path, program, [QUESTION, {**QUESTION, "model": "e"}]))
    assert [word for word in words if word not in str(raised.value)] == []
    # Far below the time for the answers.
    assert time.monotonic() - started < 30


def test_a_canary_that_says_nothing_is_ended(tmp_path):
    with pytest.raises(CanaryFailure, match="did not answer within 0 s"):
        ask_all(wanted(tmp_path, "import time; time.sleep(60)", start_timeout_s=0.3))


def test_nobody_is_left(tmp_path):
    with running(wanted(tmp_path, UP + "time.sleep(60)")) as canary:
        assert not canary.has_ended()
        process = canary.process
    assert process.poll() is not None


def test_it_knows_nothing_of_what_those_who_serve_share(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    told = (
        UP
        + "import json; json.dump(dict(os.environ), open('seen.json', 'w')); os.rename('seen.json', 'all.json'); time.sleep(60)"
    )
    given = {
        "DATABASE_URL": "x",
        "REDIS_HOST": "h",
        "REDIS_PASSWORD": "p",
        "OPENAI_API_KEY": "k",
        "LITELLM_MASTER_KEY": "sk-real",
    }
    with running(wanted(tmp_path, told, environment=given)) as canary:
        for _number in range(100):
            if (tmp_path / "all.json").exists():
                break
            time.sleep(0.1)
        key = canary.place.key
    seen = json.loads((tmp_path / "all.json").read_text())
    assert sorted(set(seen) & {*given, "HTTP_PROXY", "ENGINE_KEY"}) == ["ENGINE_KEY", "LITELLM_MASTER_KEY", "OPENAI_API_KEY"]
    assert seen["LITELLM_MASTER_KEY"] == key
    assert key not in ("sk-real", "sk-of-those-who-serve")


CHECKS = {
    "right": ("", None),
    "wrong": ("import sys; sys.exit('round-robin is none')", "round-robin is none"),
    "silent": ("import sys; sys.exit(7)", "ended with 7 and said nothing"),
    "slow": ("import time; time.sleep(60)", "took longer than 1 s"),
}


@pytest.mark.parametrize(("program", "words"), CHECKS.values(), ids=CHECKS)
def test_the_check_says_what_the_program_says(tmp_path, program, words):
    if words is None:
        check([sys.executable, "-c", program], str(tmp_path), {}, "", 20)
        return
    with pytest.raises(Refusal, match=words):
        check([sys.executable, "-c", program], str(tmp_path), {}, "", 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_what_is_executed_is_executed_as_the_services_user(tmp_path):
    program = "import os, sys; sys.exit(f'{os.getuid()} {os.getgid()} {os.getgroups()} {os.environ.get(\"HOME\")}')"
    with pytest.raises(Refusal, match=r"^65534 \d+ \[\d+\] /$"):
        check(["/usr/bin/env", "python3", "-c", program], "/", {}, "nobody", 20)


def test_a_user_that_is_not_there():
    with pytest.raises(service_user.NoSuchUser, match="nobody-of-this-name"):
        service_user.becoming("nobody-of-this-name")
    with pytest.raises(Refusal, match="nobody-of-this-name"):
        check(["true"], "/", {}, "nobody-of-this-name", 5)
