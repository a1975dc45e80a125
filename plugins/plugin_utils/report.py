"""The report of a run: one self-contained HTML page, the summary as JSON, and Markdown for a blog post.

Answers are text from a model and therefore hostile: HTML is escaped by Jinja, Markdown keeps them out.
"""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from .benchmark import seconds, shown
from .summary import content_size, counted, median, objective_words, reasons, with_unit

TEMPLATES = Path(__file__).resolve().parent / "templates"
# What is drawn beyond the outermost value on either side of the time axis, as a factor: more than the square root of the
# widest step between ticks (2 to 5), so that the axis of a single value has a tick too.
AXIS_MARGIN = 1.6
# An axis of fewer decades than this gets ticks at 1, 2 and 5, a longer one only at powers of ten.
FEW_DECADES = 2.2
MARKDOWN_SIGNS = str.maketrans({"<": "&lt;", ">": "&gt;", "&": "&amp;", **{sign: f"\\{sign}" for sign in "\\|`*_[]#"}})


def write_report(
    directory: Path, summary: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], routing: Mapping[str, str] | None = None
) -> Path:
    """Write index.html, report.md and summary.json; returns the page's path. ``routing``: the pictures, svg and mermaid."""
    directory.mkdir(parents=True, exist_ok=True)
    facts = {
        "summary": summary,
        "chart": chart(summary["cases"]),
        "answers": answers(summary["cases"], samples),
        # As an image of its own: its styles are not the page's, and it can run nothing.
        "routing": base64.b64encode(routing["svg"].encode()).decode() if routing else None,
        "flowchart": routing["mermaid"] if routing else None,
    }
    replace(directory / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
    replace(directory / "report.md", environment(False).get_template("report.md.j2").render(facts))
    replace(directory / "index.html", environment(True).get_template("report.html.j2").render(facts))
    return directory / "index.html"


def replace(path: Path, text: str) -> None:
    """Write a file in one step, so that a reader never meets half a report."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8", errors="replace")
    fresh.replace(path)


def environment(escape: bool) -> jinja2.Environment:
    """Jinja with the report's words; undefined names are mistakes."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=escape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(
        seconds=seconds,
        shown=shown,
        counted=counted,
        objective=objective_words,
        cell=markdown_cell,
        interval=interval,
        content=content_size,
        with_unit=with_unit,
        reasons=reasons,
        moment=moment,
    )
    made.globals["median"] = median
    return made


def markdown_cell(value: object) -> str:
    """Text in a Markdown table: no line breaks, no markup, no columns of its own."""
    return " ".join(str(value).split()).translate(MARKDOWN_SIGNS)


def interval(spread: Mapping[str, Any]) -> str:
    """The min-max interval of a median in seconds; a dash where one sample or none was measured."""
    return "-" if spread["low"] is None else f"{seconds(spread['low'])} to {seconds(spread['high'])}"


def moment(written: str) -> str:
    """``2026-11-21T11:29:27+00:00`` -> ``2026-11-21 11:29 UTC``."""
    return f"{written[:10]} {written[11:16]} UTC"


def answers(rows: Iterable[Mapping[str, Any]], samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The samples by case, for the page's last part."""
    return [{"case": row, "samples": [sample for sample in samples if sample["case"] == row["id"]]} for row in rows]


def chart(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Response time per case on a log axis: positions in percent of the axis. None where nothing warm was measured."""
    values = [value for row in rows for value in chart_values(row)]
    if not any(median(row, "e2e_s") for row in rows) or not values:
        return None
    low, high = min(values) / AXIS_MARGIN, max(values) * AXIS_MARGIN

    def position(value: float | None) -> float | None:
        if not value or value <= 0:
            return None
        return round(100 * (math.log10(value) - math.log10(low)) / (math.log10(high) - math.log10(low)), 2)

    drawn = [marks(row, position) for row in rows]
    return {
        "ticks": [{"label": seconds_tick(value), "left": position(value)} for value in ticks(low, high)],
        "rows": [{"case": row, "marks": places} for row, places in zip(rows, drawn, strict=True)],
        "some_missed": any((row["objective"] or {}).get("met") is False for row in rows),
        "some": {name for places in drawn for name, place in places.items() if place is not None},
    }


def chart_values(row: Mapping[str, Any]) -> list[float]:
    """Every time of a case that the axis has to reach."""
    spread = row["metrics"]["e2e_s"]
    limit = time_limit(row)
    found = [spread["low"], spread["high"], spread["median"], row["metrics"]["ttft_s"]["median"], limit]
    return [value for value in found if value and value > 0]


def time_limit(row: Mapping[str, Any]) -> float | None:
    """The objective's limit where it is one on the response time."""
    objective = row["objective"]
    return objective["limit"] if objective and objective["metric"] == "e2e_s" else None


def marks(row: Mapping[str, Any], position: Any) -> dict[str, Any]:
    """Where a case's marks lie: last token with its interval, first token, objective."""
    spread = row["metrics"]["e2e_s"]
    left, right = position(spread["low"]), position(spread["high"])
    return {
        "median": position(spread["median"]),
        "first": position(row["metrics"]["ttft_s"]["median"]),
        "low": left,
        "width": None if left is None or right is None else round(right - left, 2),
        "limit": position(time_limit(row)),
    }


def ticks(low: float, high: float) -> list[float]:
    """Round values inside an axis."""
    decades = math.log10(high) - math.log10(low)
    steps = (1, 2, 5) if decades < FEW_DECADES else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [step * 10.0**power for power in powers for step in steps]
    return [value for value in values if low <= value <= high]


def seconds_tick(value: float) -> str:
    """An axis label without decimals that say nothing."""
    return f"{value:g} s" if value >= 1 else f"{value * 1000:g} ms"
