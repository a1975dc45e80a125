# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure half of failover.py: the conventional layout, the arithmetic, the table."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

# The settled part of a run: its last requests.
SETTLED = 100
# What an alias whose first host refuses may cost a request more: the median of all, and of those that have settled.
REFUSED_ADDS_S = 0.1


@dataclass(frozen=True)
class Request:
    """One request through the router: when it was sent, how long it took, and what LiteLLM's headers say of it."""

    sent_s: float
    seconds: float
    status: int
    deployment: str = ""
    # Whether a deployment before the one that answered was tried in vain.
    tried_another: bool = False

    @property
    def failed(self) -> bool:
        return self.status != 200


def conventional(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same deployments as common configurations have them: a group each, the next ones as ``fallbacks`` of the first.

    Retries, failures and cooldown are LiteLLM's defaults; timeouts stay, or the two layouts would not be compared.
    """
    models, fallbacks = [], []
    for alias in dict.fromkeys(item["model_name"] for item in config["model_list"]):
        found = [copy.deepcopy(item) for item in config["model_list"] if item["model_name"] == alias]
        found.sort(key=lambda item: item["litellm_params"]["order"])
        for number, item in enumerate(found, 1):
            item["model_name"] = alias if number == 1 else f"{alias}-{number}"
            del item["litellm_params"]["order"]
            item["litellm_params"].pop("cooldown_time", None)
        models += found
        if found[1:]:
            fallbacks.append({alias: [item["model_name"] for item in found[1:]]})
    settings = {"fallbacks": fallbacks, "timeout": config["router_settings"]["timeout"]}
    kept = {key: copy.deepcopy(config[key]) for key in ("litellm_settings", "general_settings")}
    return {"model_list": models, "router_settings": settings, **kept}


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that ``share`` of all do not exceed (nearest rank); None of nothing."""
    ordered = sorted(values)
    return ordered[max(-(-len(ordered) * round(share * 1000) // 1000) - 1, 0)] if ordered else None


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Median, 95th percentile and the largest, in seconds; None of nothing."""
    middle = median(values) if values else None
    return {"median": middle, "p95": percentile(values, 0.95), "max": max(values, default=None)}


def figures(before: Sequence[Request], beside: Sequence[Request], broken: Sequence[Request], primary: str) -> dict[str, Any]:
    """What a dead host adds to each request.

    ``before``: while both hosts were well. ``beside``: between those of ``broken``, for an alias that the dead host never served;
    their median is what a request takes without a failure, in the same seconds on the same machine. The last requests are
    compared with those between them, because a machine that does other work beside changes in minutes. ``paid`` are requests that
    tried the dead host first; ``straight_after`` counts the requests until the first that did not.
    """
    usual = median(request.seconds for request in beside)
    added = [request.seconds - usual for request in broken]
    settled = broken[-SETTLED:]
    late = [request.seconds for request in beside if request.sent_s >= settled[0].sent_s]
    settled_usual = median(late) if late else usual
    straight = [number for number, request in enumerate(broken) if not request.tried_another and not request.failed]
    return {
        "requests": len(broken),
        "failed": sum(request.failed for request in broken),
        "healthy_failed": sum(request.failed for request in (*before, *beside)),
        "before": {"requests": len(before), **spread([request.seconds for request in before])},
        "beside": {"requests": len(beside), **spread([request.seconds for request in beside])},
        "before_by_primary": sum(request.deployment == primary for request in before),
        "broken_by_primary": sum(request.deployment == primary for request in broken),
        "added_s": spread(added),
        "first_added_s": added[0],
        "settled_requests": len(settled),
        "settled_added_s": spread([request.seconds - settled_usual for request in settled]),
        "paid": sum(request.tried_another for request in broken),
        "settled_paid": sum(request.tried_another for request in settled),
        "paid_added_s": spread([more for more, request in zip(added, broken, strict=True) if request.tried_another]),
        "straight_after": straight[0] if straight else None,
        "lasted_s": broken[-1].sent_s + broken[-1].seconds - broken[0].sent_s,
    }


def faults(result: Mapping[str, Any], layout: str, judge_times: bool = True) -> list[str]:
    """What a run of this layout shows that must not be: no answer, and more time than a host that refuses may cost."""
    if result["layout"] != layout:
        return []
    found, scenario = result["figures"], result["scenario"]
    wrong = [f"{found['failed']} of {found['requests']} requests failed"] if found["failed"] else []
    if found["healthy_failed"]:
        wrong.append(f"{found['healthy_failed']} requests failed that no dead host had a part in")
    if scenario == "refused" and judge_times:
        for name, spread_s in (("all", found["added_s"]), ("the settled", found["settled_added_s"])):
            if spread_s["median"] > REFUSED_ADDS_S:
                wrong.append(
                    f"the median of {name} requests is {spread_s['median']:.3f} s more, {REFUSED_ADDS_S:g} s is the most"
                )
    return [f"{scenario}: {what}" for what in wrong]


HEAD = (
    "first host", "layout", "requests", "failed", "healthy: median", "95th", "added: first", "median", "95th", "max",
    "last 100: median", "95th", "max", "paid", "paid: median", "max", "straight after", "lasted",
)  # fmt: skip


def table(results: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """One row for each failure and layout, in seconds; those of ``healthy`` are whole requests, the others what was added."""
    rows = [list(HEAD)]
    for result in results:
        found = result["figures"]
        added, settled, paid, straight = (found[key] for key in ("added_s", "settled_added_s", "paid_added_s", "straight_after"))
        times = (
            *(found["beside"]["median"], found["beside"]["p95"]),
            *(found["first_added_s"], added["median"], added["p95"], added["max"]),
            *(settled["median"], settled["p95"], settled["max"]),
        )
        counts = (str(found["requests"]), str(found["failed"]))
        payers = (str(found["paid"]), seconds(paid["median"]), seconds(paid["max"]))
        last = ("never" if straight is None else str(straight), f"{found['lasted_s']:.0f} s")
        rows.append([result["scenario"], result["layout"], *counts, *map(seconds, times), *payers, *last])
    return rows


def seconds(value: float | None) -> str:
    """Milliseconds matter here."""
    return "-" if value is None else f"{value:.3f}"


def lines(rows: Sequence[Sequence[str]], markdown: bool = False) -> str:
    """A table as text, aligned or as Markdown."""
    if markdown:
        head, *body = rows
        return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
