"""The plan as a person reads it in a terminal: what each host keeps in memory, and where each alias goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..module_utils.packing import GIB_IN_MIB


def plan_table(plan: Mapping[str, Any]) -> str:
    """Two tables as text: hosts with their resident sets, aliases with their deployments in order."""
    return "\n".join([*_hosts(plan), "", *_aliases(plan)])


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with aligned columns; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _hosts(plan: Mapping[str, Any]) -> list[str]:
    rows: list[Sequence[str]] = [("host", "model", "context", "memory GiB", "serves")]
    for name, host in plan["hosts"].items():
        rows += [_resident(name, item) for item in host["resident"]]
        rows.append((name, "total", "", f"{_gib(host['total_mib'])} of {_gib(host['budget_mib'])}", _admission(host)))
    return table(rows)


def _resident(host: str, item: Mapping[str, Any]) -> tuple[str, ...]:
    served = str(item["reason"]).removeprefix("serves ")
    return host, item["model"], str(item["context_tokens"]), f"{_gib(item['fit']['total_mib'])}{_mark(item['fit'])}", served


def _mark(fit: Mapping[str, Any]) -> str:
    """What kind of figure it is, where it is not computed exactly."""
    if fit["basis"].startswith("declared"):
        return " declared" if fit["bound"] == "declared" else " declared, at most" if fit["bound"] == "upper" else " declared"
    return " at most" if fit["bound"] == "upper" else ""


def _admission(host: Mapping[str, Any]) -> str:
    """One line; where something has to be set, what."""
    said = host["admission"]
    if said["stays"] is False and said["mend"] and said["mend"]["found"]:
        missing = ", ".join(f"{item['setting']}={item['value']}" for item in said["mend"]["changes"])
        return f"stays once {missing} is set: {said['reason']}"
    if said["stays"] and said["engine_version"]:
        return f"stays in memory: the scheduler of Ollama {said['engine_version']} evicts none of them"
    stays = {True: "stays in memory", False: "would not stay", None: "eviction not proven"}[said["stays"]]
    return f"{stays}: {said['reason']}"


def _aliases(plan: Mapping[str, Any]) -> list[str]:
    rows: list[Sequence[str]] = [("alias", "deployments in order", "falls back to")]
    for alias, entry in plan["aliases"].items():
        deployments = ", then ".join(f"{item['model']} on {item['host']}" for item in entry["deployments"])
        rows.append((alias, deployments, ", ".join(entry["fallbacks"]) or "nothing"))
    left_out = [f"note: {line}" for alias, entry in plan["aliases"].items() for line in _left_out(alias, entry)]
    unserved = [alias for alias in plan["workloads"] if alias not in plan["aliases"]]
    return [*table(rows), *left_out, *(f"note: {alias} has no deployment: it is not served" for alias in unserved)]


def _left_out(alias: str, entry: Mapping[str, Any]) -> Iterator[str]:
    for item in entry["fallbacks_left_out"]:
        yield f"{alias} does not fall back to {item['alias']}: it is {item['reason']}"


def _gib(mib: float | None) -> str:
    return "unknown" if mib is None else f"{mib / GIB_IN_MIB:.2f}"
