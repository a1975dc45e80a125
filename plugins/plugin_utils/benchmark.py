"""What a benchmark measures: plan and selectors in, test cases out, and the words of its progress and its table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

RUNS_MOST = 1000


class SelectionError(ValueError):
    """A selector that names nothing in the plan, or a value that cannot be used. The message lists what can."""


@dataclass(frozen=True)
class Selection:
    """Which cases to measure. Empty tuples mean all. ``limit`` are the hosts that Ansible's --limit left, None: all."""

    runs: int
    hosts: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    limit: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Case:
    """One deployment of one alias with one prompt: what a row of the table is."""

    id: str
    alias: str
    mode: str
    machine: str
    host: str
    engine: str
    managed: bool
    model: str
    engine_model: str
    url: str
    order: int
    context_tokens: int | None
    prompt_id: str
    prompt: str
    prompt_sha256: str
    max_tokens: int | None
    temperature: float | None
    timeout_s: float
    objective: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """The case as plain data."""
        return asdict(self)


def names(value: Any, selector: str) -> tuple[str, ...]:
    """A selector's value as names: nothing, a comma-separated text, or a list. Raises SelectionError for anything else."""
    if value is None or value == "":
        return ()
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise SelectionError(f"{selector}: got {value!r}; expected names as a list or separated by commas")
    found = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not found and isinstance(value, str):
        raise SelectionError(f"{selector}: got {value!r}, which names nothing; expected names, or no {selector} at all")
    return found


def whole_number(value: Any, selector: str, least: int, most: int) -> int:
    """A selector's value as a whole number in a range. Raises SelectionError for anything else."""
    number = int(value) if isinstance(value, str) and value.strip().lstrip("+-").isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
        raise SelectionError(f"{selector}: got {value!r}; expected a whole number from {least} to {most}")
    return number


def selection(plan: Mapping[str, Any], runs: Any, host: Any, workload: Any, limit: Any) -> Selection:
    """The selectors of a run, checked against the plan. Raises SelectionError that lists the valid values."""
    wanted = plan.get("benchmark") or {}
    engines = list(plan["hosts"])
    chosen = Selection(
        runs=whole_number(wanted.get("runs", 3) if runs is None or runs == "" else runs, "runs", 1, RUNS_MOST),
        hosts=names(host, "host"),
        workloads=names(workload, "workload"),
        limit=None if limit is None else tuple(name for name in names(limit, "limit") if name in engines),
    )
    known(chosen.hosts, engines, "host", "hosts with an engine")
    known(chosen.workloads, list(plan["aliases"]), "workload", "workloads")
    if chosen.limit is not None:
        if not chosen.limit:
            raise SelectionError(f"--limit leaves no host with an engine; hosts with an engine: {listed(engines)}")
        known(chosen.hosts, chosen.limit, "host", "hosts that --limit leaves")
    return chosen


def known(wanted: Iterable[str], valid: Sequence[str], selector: str, what: str) -> None:
    """Raise SelectionError for names that are not valid, listing those that are."""
    unknown = [name for name in wanted if name not in valid]
    if unknown:
        raise SelectionError(f"{selector}: got {listed(unknown)}; expected one of the {what}: {listed(valid)}")


def listed(values: Iterable[str]) -> str:
    """Names in a sentence."""
    return ", ".join(values) or "none"


def cases(plan: Mapping[str, Any], chosen: Selection, max_tokens: int | None = None) -> list[Case]:
    """The test cases of a selection: hosts in the plan's order, within a host by alias. Raises SelectionError if none."""
    hosts = [name for name in plan["hosts"] if wanted(name, chosen.hosts) and (chosen.limit is None or name in chosen.limit)]
    found = [
        case
        for host in hosts
        for alias in plan["aliases"]
        if wanted(alias, chosen.workloads)
        for deployment in plan["aliases"][alias]["deployments"]
        if deployment["host"] == host
        for case in deployment_cases(plan, alias, deployment, max_tokens)
    ]
    if not found:
        pairs = [f"{alias} on {row['host']}" for alias, entry in plan["aliases"].items() for row in entry["deployments"]]
        raise SelectionError(f"no test case matches host, workload and --limit together; the plan has: {listed(pairs)}")
    return found


def wanted(name: str, chosen: Sequence[str]) -> bool:
    """Whether a name passes a selector; an empty selector lets everything pass."""
    return not chosen or name in chosen


def deployment_cases(plan: Mapping[str, Any], alias: str, deployment: Mapping[str, Any], max_tokens: int | None) -> list[Case]:
    """One case per prompt of the alias's workload; none where the workload has no prompts."""
    workload = plan["workloads"].get(alias) or {}
    host = plan["hosts"][deployment["host"]]
    resident: Mapping[str, Any] = next((row for row in host["resident"] if row["model"] == deployment["model"]), {})
    prompts = workload.get("prompts") or []
    chat = workload.get("mode", "chat") == "chat"
    stem = f"{alias}--{deployment['host']}--{deployment['model']}"
    return [
        Case(
            id=stem if len(prompts) == 1 else f"{stem}--{prompt['id']}",
            alias=alias,
            mode="chat" if chat else "embedding",
            machine=host.get("machine") or deployment["host"],
            host=deployment["host"],
            engine=deployment["engine"],
            managed=bool(host.get("managed", True)),
            model=deployment["model"],
            engine_model=deployment["engine_model"],
            url=deployment["url"],
            order=deployment["order"],
            context_tokens=resident.get("context_tokens"),
            prompt_id=prompt["id"],
            prompt=prompt["text"],
            prompt_sha256=sha256(prompt["text"]),
            max_tokens=(max_tokens or workload["max_tokens"]) if chat else None,
            temperature=workload.get("temperature") if chat else None,
            timeout_s=float(workload.get("timeout_s") or plan["benchmark"]["timeout_s"]),
            objective=workload.get("objective"),
        )
        for prompt in prompts
    ]


def not_measured(plan: Mapping[str, Any], measured: Iterable[Case]) -> list[str]:
    """What the plan holds and this run leaves out, one sentence each."""
    done = {(case.alias, case.host, case.model) for case in measured}
    left = []
    for alias, entry in plan["aliases"].items():
        if not (plan["workloads"].get(alias) or {}).get("prompts"):
            left.append(f"{alias}: its workload has no prompts")
            continue
        left += [
            f"{alias} on {row['host']} ({row['model']}): not selected in this run"
            for row in entry["deployments"]
            if (alias, row["host"], row["model"]) not in done
        ]
    return left


def by_machine(all_cases: Iterable[Case]) -> dict[str, list[Case]]:
    """Cases grouped by the machine that must take them one after another, in their order."""
    groups: dict[str, list[Case]] = {}
    for case in all_cases:
        groups.setdefault(case.machine, []).append(case)
    return groups


def sha256(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def nonce(seed: int, case_id: str, number: int) -> str:
    """Eight hex digits that begin a prompt so that no cached prefix fits it; the same for the same seed."""
    return sha256(f"{seed} {case_id} {number}")[:8]


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Rows as lines of aligned columns; the columns in ``right`` are aligned right."""
    every = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in every) for column in range(len(headings))]
    lines = []
    for row in every:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def case_table(all_cases: Iterable[Case], runs: int) -> list[str]:
    """The cases as a table, for ``list=true`` and check mode."""
    rows = [
        [case.id, case.machine, case.engine, case.mode, case.prompt_id, shown(case.max_tokens), str(runs)] for case in all_cases
    ]
    return table(["case", "machine", "engine", "mode", "prompt", "max tokens", "runs"], rows, frozenset({5, 6}))


def shown(value: object, digits: int | None = None) -> str:
    """A value in a table; unknown is a dash, never 0."""
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if digits is not None and isinstance(value, (int, float)) else str(value)


def seconds(value: float | None) -> str:
    """A duration with three significant digits' worth of decimals, with its unit."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:.0f} s"
    return f"{value:.1f} s" if value >= 10 else f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"
