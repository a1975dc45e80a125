"""Door to the benchmark: checks the selectors, shows progress while it measures, writes samples, summary and report."""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

try:
    from ..plugin_utils import benchmark, progress, report, runner, samples, summary
    from ..plugin_utils.routing_mermaid import mermaid
    from ..plugin_utils.routing_svg import svg

    MISSING_LIBRARY: ImportError | None = None
except ImportError as error:
    MISSING_LIBRARY = error

# The defaults stand in plugins/modules/benchmark.py as well; a test compares the two.
ARGUMENTS = {
    "plan": {"type": "dict", "required": True},
    "build_directory": {"type": "path", "required": True},
    "runs": {"type": "raw"},
    "host": {"type": "raw"},
    "workload": {"type": "raw"},
    "limit": {"type": "list", "elements": "str"},
    "list": {"type": "bool", "default": False},
    "max_tokens": {"type": "raw"},
    "seed": {"type": "raw"},
}
MAX_TOKENS_MOST = 1_000_000


class ActionModule(ActionBase):
    """``homelab.llm.benchmark``: documented in plugins/modules/benchmark.py."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Returns cases and, when something was measured, the paths written and the summary's counts."""
        result = super().run(tmp, task_vars)
        if MISSING_LIBRARY is not None:
            raise AnsibleActionFail(
                f"the controller's Python lacks a library ({MISSING_LIBRARY}); "
                "run: python3 -m pip install 'pydantic>=2.10' 'jinja2>=3.1'"
            )
        _checked, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        plan = json.loads(json.dumps(arguments["plan"], default=str))
        try:
            chosen, cases, seed = self.cases(plan, arguments)
        except benchmark.SelectionError as error:
            raise AnsibleActionFail(str(error)) from None
        result.update(changed=False, cases=[case.id for case in cases])
        if arguments["list"] or self._task.check_mode:
            why = "list: nothing is measured" if arguments["list"] else "check mode: nothing is measured and nothing written"
            show([f"{len(cases)} cases ({why})", "", *benchmark.case_table(cases, chosen.runs)])
            return {**result, "msg": why}
        try:
            return {**result, **Session(plan, cases, chosen, seed, Path(arguments["build_directory"])).measure()}
        except OSError as error:
            raise AnsibleActionFail(f"cannot write below {arguments['build_directory']}: {error}") from None

    def cases(self, plan: dict[str, Any], arguments: dict[str, Any]) -> tuple[Any, list[Any], int]:
        """Selection, cases and seed of the arguments; raises SelectionError."""
        chosen = benchmark.selection(plan, arguments["runs"], arguments["host"], arguments["workload"], arguments["limit"])
        most, seed = arguments["max_tokens"], arguments["seed"]
        if most not in (None, ""):
            most = benchmark.whole_number(most, "max_tokens", 1, MAX_TOKENS_MOST)
        seed = secrets.randbits(31) if seed in (None, "") else benchmark.whole_number(seed, "seed", 0, 2**63)
        return chosen, benchmark.cases(plan, chosen, most or None), seed


class Session:
    """One run: takes the events of the machines in the action's own thread, keeps every sample as soon as it is there."""

    def __init__(self, plan: dict[str, Any], cases: list[Any], chosen: Any, seed: int, build: Path) -> None:
        self.cases = cases
        self.chosen = chosen
        self.build = build
        self.file = samples.SampleFile(build / "samples")
        self.settings = runner.RunSettings(
            self.file.run, str(plan.get("inventory")), plan.get("content_hash"), chosen.runs, seed, samples.HARNESS_VERSION
        )
        self.progress = progress.Progress(cases, chosen.runs)
        self.left_out = benchmark.not_measured(plan, cases)
        self.routing = {"svg": svg(plan), "mermaid": mermaid(plan)}
        self.samples: list[dict[str, Any]] = []
        self.incidents: list[str] = []
        self.hosts = {case.id: case for case in cases}

    def measure(self) -> dict[str, Any]:
        """Measure, then write summary and report, whatever was lost on the way."""
        started_at, began = datetime.now(UTC), time.monotonic()
        machines = sorted({case.machine for case in self.cases})
        show(
            [
                f"{len(self.cases)} cases, {self.chosen.runs} runs each; machines, side by side: {', '.join(machines)}",
                f"samples: {self.file.path}",
            ]
        )
        try:
            runner.run(self.cases, self.settings, self.take, lambda: show([self.progress.heartbeat()]))
        finally:
            self.file.close()
        facts = {
            "started_at": started_at.isoformat(timespec="seconds"),
            "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "elapsed_s": time.monotonic() - began,
            "selection": {"hosts": self.chosen.hosts, "workloads": self.chosen.workloads, "limit": self.chosen.limit},
            "not_measured": self.left_out,
            "incidents": self.incidents,
            "samples_file": self.file.path.name,
        }
        return self.finish(summary.summarise(self.settings, self.cases, self.samples, facts))

    def take(self, event: dict[str, Any]) -> bool:
        """One event: a sample goes to the disk before anything is said about it. Tells whether something was."""
        if event["kind"] == "sample":
            sample = samples.checked(event["sample"])
            self.file.append(sample)
            self.samples.append(sample)
        elif event["kind"] in ("restart", "away"):
            case = self.hosts[event["case"]]
            self.incidents.append(f"host {case.host}, {case.engine} at {case.url} (model {case.model}): {event['text']}")
        elif event["kind"] == "crashed":
            last = event["text"].splitlines()[-1]
            self.incidents.append(f"machine {event['machine']}: a mistake in the harness ended it: {last}")
        line = self.progress.line(event)
        if line:
            show([line])
        return line is not None

    def finish(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Write what the run came to, show the table, and say what failed."""
        self.file.restore(self.samples)
        self.file.summary_path.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        page = report.write_report(self.build / "report", facts, self.samples, self.routing)
        show(["", *summary.result_table(facts), "", f"report: {page}", f"samples: {self.file.path}"])
        wrong = summary.failure(facts, str(self.file.path))
        return {
            "changed": True,
            "failed": wrong is not None,
            "run": self.settings.run,
            "seed": self.settings.seed,
            "samples_path": str(self.file.path),
            "summary_path": str(self.file.summary_path),
            "report_path": str(page),
            "verdicts": facts["verdicts"],
            "lost": facts["lost"],
            "incidents": self.incidents,
            "msg": wrong or f"{facts['attempts']} samples measured; report: {page}",
        }


def show(lines: list[str]) -> None:
    """Straight to the terminal and the log, while the task runs."""
    Display().display("\n".join(lines))
