"""The door that shows how far a model is: when it looks, when it works in the background, and what it leaves behind."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleConnectionFailure

from plugins.action import ollama_model
from plugins.action.ollama_model import MOST_LOST, STATUS, ActionModule

DONE = {"finished": True, "changed": True, "msg": "fetched", "ansible_job_id": "j1.2", "stdout": "", "via": "registry"}


class Host:
    """Plays the host: what modules and commands answer, in order; remembers what was asked."""

    def __init__(self, monkeypatch, modules, commands=(), check_mode=False, async_val=0, **arguments):
        self.modules, self.commands = list(modules), list(commands)
        self.asked, self.said = [], []
        task = SimpleNamespace(args={"name": "m", **arguments}, check_mode=check_mode, async_val=async_val, action="x")
        shell = SimpleNamespace(join_path=lambda *parts: "/".join(parts), tmpdir="/tmp/x")
        connection = SimpleNamespace(_shell=shell, has_native_async=False, reset=lambda: self.asked.append("reset"))
        self.task = task
        self.action = ActionModule(task, connection, None, None, None, None)
        monkeypatch.setattr(self.action, "_execute_module", self.module)
        monkeypatch.setattr(self.action, "_low_level_execute_command", self.command)
        monkeypatch.setattr(self.action, "get_shell_option", lambda _name, default: default)
        monkeypatch.setattr(ollama_model.time, "sleep", lambda _seconds: None)
        monkeypatch.setattr(ollama_model, "Display", lambda: SimpleNamespace(display=self.said.append))

    def module(self, module_name, module_args=None, task_vars=None, wrap_async=False):
        mode = (module_args or {}).get("mode")
        self.asked.append((module_name.rpartition(".")[2], mode, self.task.check_mode, self.task.async_val, bool(wrap_async)))
        if mode == "cleanup":
            return {}
        answer = self.modules.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def command(self, text):
        self.asked.append(text.split(" ")[0])
        if text.startswith("rm "):
            return {"rc": 0}
        answer = self.commands.pop(0) if self.commands else None
        return {"rc": 1, "stdout": ""} if answer is None else {"rc": 0, "stdout": answer}

    def run(self):
        return self.action.run(task_vars={"inventory_hostname": "star"})


JOB = {"ansible_job_id": "j1.2", "results_file": "/home/user/.ansible_async/j1.2", "started": True, "finished": False}
LOOK = ("ollama_model", None, True, 0, False)
START = ("ollama_model", None, False, 86520, True)
ASK, CLEAN = ("async_status", "status", False, 0, False), ("async_status", "cleanup", False, 0, False)
CHANGE = {"changed": True, "msg": "would be fetched"}


@pytest.mark.parametrize("looked", [{"changed": False}, {"failed": True, "changed": True, "msg": "no"}], ids=["done", "failed"])
def test_where_nothing_is_to_be_done_it_is_quick_and_silent(monkeypatch, looked):
    host = Host(monkeypatch, [looked])
    assert host.run() == looked
    assert (host.asked, host.said, host.task.check_mode) == ([LOOK], [], False)


PLAIN = {
    "check mode": ({"check_mode": True}, ("ollama_model", None, True, 0, False)),
    "absent": ({"state": "absent"}, ("ollama_model", None, False, 0, False)),
    "derived from a model": ({"state": "derived", "from_model": "b"}, ("ollama_model", None, False, 0, False)),
    "the user's own job": ({"async_val": 60}, ("ollama_model", None, False, 60, True)),
}


@pytest.mark.parametrize("case", PLAIN)
def test_what_is_done_in_one_go(monkeypatch, case):
    options, call = PLAIN[case]
    host = Host(monkeypatch, [CHANGE], **options)
    assert host.run() == CHANGE
    assert host.asked == [call]


def test_a_transfer_is_followed_to_its_end(monkeypatch):
    progress = json.dumps({"phase": "pulling", "events": ["pulling from x"], "completed_bytes": 1, "total_bytes": 2, "at_s": 1})
    host = Host(monkeypatch, [CHANGE, JOB, {"finished": False, "started": True}, DONE], [None, progress])
    monkeypatch.setattr(ollama_model.time, "monotonic", iter(range(1000)).__next__)
    assert host.run() == {"changed": True, "msg": "fetched", "via": "registry"}
    assert host.said == ["star: m: pulling from x"]
    assert host.asked == [LOOK, START, "cat", ASK, "cat", "cat", ASK, CLEAN, "rm"]
    assert host.task.async_val == 0


def test_a_file_is_read_at_once(monkeypatch):
    host = Host(monkeypatch, [JOB, DONE], state="derived", from_file="/m.gguf", timeout_s="50")
    host.run()
    assert host.asked[0] == ("ollama_model", None, False, 170, True)


def test_a_job_that_cannot_be_started(monkeypatch):
    host = Host(monkeypatch, [CHANGE, {"failed": True, "msg": "no python"}])
    assert host.run() == {"failed": True, "msg": "no python"}
    assert host.task.async_val == 0


def test_the_limit_is_taken_back_whatever_happens(monkeypatch):
    host = Host(monkeypatch, [CHANGE, AnsibleConnectionFailure("gone")])
    with pytest.raises(AnsibleConnectionFailure):
        host.run()
    assert host.task.async_val == 0


def test_a_host_that_is_away_for_a_while(monkeypatch):
    host = Host(monkeypatch, [CHANGE, JOB, AnsibleConnectionFailure("gone"), AnsibleConnectionFailure("gone"), DONE])
    assert host.run()["via"] == "registry"
    assert host.asked.count("reset") == 2
    assert host.said == ["star: m: the host is not reached; the transfer goes on there, trying again"] * 2


def test_a_host_that_stays_away(monkeypatch):
    host = Host(monkeypatch, [CHANGE, JOB, *[AnsibleConnectionFailure("gone")] * (MOST_LOST + 1)])
    with pytest.raises(AnsibleConnectionFailure):
        host.run()


def test_a_job_that_failed_is_the_result(monkeypatch):
    host = Host(monkeypatch, [CHANGE, JOB, {"failed": True, "finished": True, "msg": "disk"}])
    assert host.run() == {"failed": True, "msg": "disk"}
    assert CLEAN in host.asked


def test_a_job_that_never_ends(monkeypatch):
    host = Host(monkeypatch, [CHANGE, JOB, *[{"finished": False}] * 99])
    monkeypatch.setattr(ollama_model.time, "monotonic", iter(range(0, 10**9, 9000)).__next__)
    assert "the job j1.2 on the host did not end within" in host.run()["msg"]


def test_nobody_waits_for_a_play_that_was_killed(monkeypatch):
    """Its worker would ask the host for a day."""
    host = Host(monkeypatch, [CHANGE, JOB, *[{"finished": False}] * 99])
    monkeypatch.setattr(ollama_model.os, "getppid", iter([4711, 4711, 1]).__next__)
    assert "the play was ended; the transfer goes on" in host.run()["msg"]
    assert host.asked.count(ASK) == 1


def test_the_status_is_asked_by_ansibles_own_module():
    assert STATUS == "ansible.legacy.async_status"
