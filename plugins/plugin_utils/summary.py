"""One run in one mapping: what was measured, what it says, what was lost and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .benchmark import Case, seconds, shown, table
from .metrics import RATES, VERDICTS, case_statistics, objective_result
from .runner import RunSettings

SUMMARY_VERSION = 1
# True of every run at this depth; the report says so instead of leaving it to be assumed.
NEVER_MEASURED = (
    "Quality: the answers are shown, not graded.",
    "Memory, swap and energy while a sample ran.",
    "Load: one request at a time per machine (closed loop), so these are service times, not waiting times under traffic.",
    "The router: every request went straight to the engine.",
)


def summarise(
    settings: RunSettings, cases: Sequence[Case], samples: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The summary of a run. ``facts``: started_at, ended_at, elapsed_s, selection, not_measured, incidents, samples_file."""
    rows = [case_summary(case, settings.runs, [row for row in samples if row["case"] == case.id]) for case in cases]
    verdicts = Counter(row["verdict"] for row in samples)
    return {
        "summary_version": SUMMARY_VERSION,
        "run": settings.run,
        "inventory": settings.inventory,
        "plan_hash": settings.plan_hash,
        "harness_version": settings.harness_version,
        "seed": settings.seed,
        "runs": settings.runs,
        **facts,
        "attempts_planned": len(cases) * settings.runs,
        "attempts": len(samples),
        "verdicts": {verdict: verdicts[verdict] for verdict in VERDICTS if verdicts[verdict]},
        "lost": lost(rows),
        "cases": rows,
        "never_measured": list(NEVER_MEASURED),
    }


def case_summary(case: Case, runs: int, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One case: what it is, its settings, statistics of its warm samples, and its objective."""
    receipts = [row["receipts"]["before"] for row in samples if row["receipts"]["before"]]
    facts = case.as_dict()
    return {
        **{
            name: facts[name]
            for name in (
                "id",
                "alias",
                "mode",
                "machine",
                "host",
                "engine",
                "managed",
                "model",
                "engine_model",
                "url",
                "order",
                "prompt_id",
                "prompt_sha256",
                "max_tokens",
                "temperature",
                "timeout_s",
                "context_tokens",
            )
        },
        "runs": runs,
        **case_statistics(samples),
        "objective": objective_result(case.objective, samples),
        "engine_versions": sorted({row["version"] for row in receipts if row["version"]}),
        "loaded_models": sorted({model["name"] for row in receipts for model in row["models"]}),
        "error_messages": sorted({row["error"]["message"] for row in samples if row["error"]}),
    }


def lost(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """One sentence per case that lost samples: host, model, how many of how many, why."""
    sentences = []
    for row in rows:
        missing = row["runs"] - row["attempts"]
        gone = row["verdicts"].get("failed", 0) + missing
        if gone:
            kinds = ", ".join(row["errors"]) or "not attempted"
            why = "; ".join([*row["error_messages"], *([f"{missing} not attempted"] if missing else [])])
            sentences.append(
                f"host {row['host']}, model {row['model']} ({row['engine']} at {row['url']}): lost {gone} of {row['runs']}"
                f" samples of {row['id']} ({kinds}: {why})"
            )
    return sentences


def failure(summary: Mapping[str, Any], samples_path: str) -> str | None:
    """Why the run failed, as one message; None where nothing was lost and no engine went away."""
    troubles = [*summary["lost"], *summary["incidents"]]
    if not troubles:
        return None
    kept = summary["attempts"] - summary["verdicts"].get("failed", 0)
    keep = f"{kept} finished sample{'' if kept == 1 else 's'} of {summary['attempts_planned']} kept in {samples_path}."
    return "\n".join([f"The benchmark lost something. {keep}", *(f"- {trouble}" for trouble in troubles)])


def median(row: Mapping[str, Any], metric: str) -> float | None:
    """The median of a metric of a case, unknown where no warm sample has it."""
    value = row["metrics"][metric]["median"]
    return None if value is None else float(value)


def result_table(summary: Mapping[str, Any]) -> list[str]:
    """The short table that a run ends with: one line per case, medians of its warm samples."""
    headings = [
        "workload",
        "host",
        "model",
        "n",
        "time",
        "TTFT",
        "tokens/s",
        "tokens",
        "content",
        "reasoning",
        "finish",
        "errors",
        "verdicts",
        "objective",
    ]
    rows = [result_row(row) for row in summary["cases"]]
    return table(headings, rows, frozenset({3, 4, 5, 6, 7, 8, 9}))


def result_row(row: Mapping[str, Any]) -> list[str]:
    """A case as the cells of the table."""
    name = row["alias"] if row["id"].endswith(f"--{row['model']}") else f"{row['alias']} {row['prompt_id']}"
    return [
        name,
        row["host"],
        row["model"],
        f"{row['n']}/{row['runs']}",
        seconds(median(row, "e2e_s")),
        seconds(median(row, "ttft_s")),
        shown(median(row, "decode_tokens_per_s"), 0),
        shown(median(row, "completion_tokens"), 0),
        content_size(row),
        with_unit(median(row, "reasoning_characters"), "char."),
        reasons(row["finish_reasons"]),
        counted(row["errors"]) or "-",
        counted(row["verdicts"]) or "-",
        objective_words(row["objective"]),
    ]


def content_size(row: Mapping[str, Any]) -> str:
    """How much a case answered: characters of content, or the dimension of a vector."""
    if row["mode"] == "embedding":
        return with_unit(median(row, "dimension"), "dim.")
    return with_unit(median(row, "content_characters"), "char.")


def with_unit(value: float | None, unit: str) -> str:
    """A whole number with its unit; a dash where it is unknown."""
    return "-" if value is None else f"{value:.0f} {unit}"


def reasons(counts: Mapping[str, int]) -> str:
    """Finish reasons; how often each only where there is more than one."""
    return counted(counts) if len(counts) > 1 else ", ".join(counts) or "-"


def counted(counts: Mapping[str, int]) -> str:
    """``{"warm": 2, "cold": 1}`` -> ``2 warm, 1 cold``."""
    return ", ".join(f"{number} {name}" for name, number in counts.items())


def objective_words(objective: Mapping[str, Any] | None) -> str:
    """An objective with its outcome in words."""
    if objective is None:
        return "-"
    metric, percentile = objective["metric"], objective["percentile"]
    sign = "≥" if metric in RATES else "≤"
    unit = " s" if metric.endswith("_s") and metric not in RATES else ""
    name = "" if (metric, percentile) == ("e2e_s", 50) else f"{metric} p{percentile:g} "
    word = {True: "met", False: "missed", None: "unknown"}[objective["met"]]
    return f"{word}: {name}{sign} {objective['limit']:g}{unit}"
