"""Door to the module of the same name: runs it on the host in the background and shows how far it is."""

from __future__ import annotations

import os
import posixpath
import secrets
import shlex
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..plugin_utils.transfer_lines import TransferLines

MODULE = "homelab.llm.ollama_model"
STATUS = "ansible.legacy.async_status"
DEFAULT_LIMIT_S = 86400
# The module ends by itself at its limit; the job around it a little later.
GRACE_S = 120
DELAYS_S = (0.3, 0.5, 1.0, 2.0)
STATUS_EVERY_S = 10.0
# So often in a row the host may not be reached before the task fails; the transfer goes on without it.
MOST_LOST = 12
LOST_PAUSE_S = 5.0
# What only the background job knows.
JOB_KEYS = ("started", "finished", "ansible_job_id", "results_file", "stdout", "stdout_lines", "stderr", "stderr_lines")


class ActionModule(ActionBase):
    """``homelab.llm.ollama_model``: documented in plugins/modules/ollama_model.py."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Returns what the module returns."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = self._task.args
        if self._task.async_val:
            # The user's own background job: nobody waits for it here.
            wrap = not self._connection.has_native_async
            return {**result, **self._execute_module(module_name=MODULE, task_vars=task_vars, wrap_async=wrap)}
        state = arguments.get("state", "present")
        if self._task.check_mode or state == "absent" or (state == "derived" and not arguments.get("from_file")):
            return {**result, **self._execute_module(module_name=MODULE, task_vars=task_vars)}
        if state != "derived":
            looked = self._look(task_vars)
            if looked.get("failed") or not looked.get("changed"):
                return {**result, **looked}
        return {**result, **self._work(task_vars)}

    def _look(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """What would be done: mostly nothing, and then no background job is needed."""
        self._task.check_mode = True
        try:
            return self._execute_module(module_name=MODULE, task_vars=task_vars)
        finally:
            self._task.check_mode = False

    def _work(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        # Not expanded here: the job takes the home of its own environment, and so does the module.
        file = f"homelab-llm-{secrets.token_hex(8)}.progress"
        folder = self.get_shell_option("async_dir", default="~/.ansible_async")
        arguments = {**self._task.args, "progress_file": self._connection._shell.join_path(folder, file)}
        limit_s = _seconds(arguments.get("timeout_s"))
        job = self._start(arguments, task_vars, limit_s)
        if job.get("failed") or "ansible_job_id" not in job:
            return job
        folder = posixpath.dirname(str(job["results_file"]))
        follower = Follower(self, task_vars, str(job["ansible_job_id"]), folder, posixpath.join(folder, file))
        done = follower.wait(limit_s + 2 * GRACE_S)
        return {key: value for key, value in done.items() if key not in JOB_KEYS}

    def _start(self, arguments: dict[str, Any], task_vars: dict[str, Any], limit_s: int) -> dict[str, Any]:
        """Start the background job. The task is given its limit for that moment only, or Ansible would wait for it as well."""
        self._task.async_val = limit_s + GRACE_S
        try:
            return self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars, wrap_async=True)
        finally:
            self._task.async_val = 0


class Follower:
    """A background job of a host that is waited for."""

    def __init__(self, action: Any, task_vars: dict[str, Any], job: str, folder: str, progress_file: str) -> None:
        self._action = action
        self._task_vars = task_vars
        self._job = job
        self._folder = folder
        self._progress_file = progress_file
        self._lost = 0
        self._asked_s = 0.0
        self._parent = os.getppid()
        arguments = action._task.args
        self._lines = TransferLines(str(task_vars.get("inventory_hostname", "host")), str(arguments.get("name")))

    def wait(self, limit_s: float) -> dict[str, Any]:
        """Show how far it is until it is done; returns the module's result."""
        ends_s, number = time.monotonic() + limit_s, 0
        while time.monotonic() < ends_s:
            # Whoever started the play may be gone; the transfer goes on, and the next run joins it.
            if os.getppid() != self._parent:
                return {"failed": True, "msg": "the play was ended; the transfer goes on on the host"}
            time.sleep(DELAYS_S[min(number, len(DELAYS_S) - 1)])
            number += 1
            try:
                done = self._look()
            except AnsibleConnectionFailure as error:
                self._lose(error)
                continue
            self._lost = 0
            if done is not None:
                self._clean()
                return done
        return {"failed": True, "msg": f"the job {self._job} on the host did not end within {limit_s:.0f} s; look for it there"}

    def _look(self) -> dict[str, Any] | None:
        """Say what is new; the result when the job is done. While its progress can be read it is not."""
        text = self._progress()
        for line in self._lines.lines(text):
            Display().display(line)
        if text is not None and time.monotonic() - self._asked_s < STATUS_EVERY_S:
            return None
        self._asked_s = time.monotonic()
        status = self._status("status")
        return status if status.get("finished") or status.get("failed") else None

    def _progress(self) -> str | None:
        read = self._action._low_level_execute_command(f"cat {shlex.quote(self._progress_file)}")
        return str(read.get("stdout", "")) if read.get("rc") == 0 else None

    def _status(self, mode: str) -> dict[str, Any]:
        arguments = {"jid": self._job, "mode": mode, "_async_dir": self._folder}
        answer: dict[str, Any] = self._action._execute_module(
            module_name=STATUS, module_args=arguments, task_vars=self._task_vars
        )
        return answer

    def _lose(self, error: AnsibleConnectionFailure) -> None:
        """The host cannot be reached for now. Raises the error when that lasts."""
        self._lost += 1
        if self._lost > MOST_LOST:
            raise error
        Display().display(f"{self._lines.head}: the host is not reached; the transfer goes on there, trying again")
        time.sleep(LOST_PAUSE_S)
        if hasattr(self._action._connection, "reset"):
            self._action._connection.reset()

    def _clean(self) -> None:
        self._status("cleanup")
        # A module that was killed leaves its file.
        file = shlex.quote(self._progress_file)
        self._action._low_level_execute_command(f"rm -f {file} {file}.unfinished")


def _seconds(value: Any) -> int:
    """The module judges the option; here it only has to be a number."""
    try:
        return max(1, int(value)) if value is not None else DEFAULT_LIMIT_S
    except (TypeError, ValueError):
        return DEFAULT_LIMIT_S
