#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far is the predictor from measured memory? Runs it on measured rows and prints its errors beside those of common rules.

    perf/memory_error.py ROWS.jsonl MODELS.json [--json | --markdown | --rows]

ROWS.jsonl: one object per (model, setting) with ``settings``, ``truth_mib`` (CPU: weights, context, compute, total),
``gpu_sim_mib`` (device and host of a simulated GPU) and ``baselines_mib``. MODELS.json: per model ``metadata`` and
``tensors_summary``. A row counts as too low when the prediction misses more than 1 % of the total or 8 MiB, whichever is larger.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from plugins.module_utils.memory import ModelFiles, PoolParts, predict
from plugins.module_utils.memory_settings import Pool, Settings
from plugins.module_utils.model_shape import describe

UNDER_SHARE_OF_TOTAL = 0.01
UNDER_MIB = 8.0
CONTEXT_EXACT_MIB = 1.0
PARTS = ("weights", "context", "compute")
# One simulated GPU that is large enough for everything.
DEVICE = (Pool("gpu0", "gpu", 1.0),)
BASELINES = {
    "ollama_predict": "Ollama's own rule",
    "ollama_predict_plus_surcharge": "the same + its batch surcharge",
    "file_x1.2": "file x 1.2",
    "naive_full_kv": "file + KV of every layer",
}


@dataclass(frozen=True)
class Case:
    """One measured number set and what was predicted for it: parts and total in MiB."""

    model: str
    family: str
    settings: Mapping[str, Any]
    truth: Mapping[str, float]
    predicted: Mapping[str, float]

    @property
    def error_mib(self) -> float:
        return self.predicted["total"] - self.truth["total"]

    @property
    def error_pct(self) -> float:
        return 100 * abs(self.error_mib) / self.truth["total"]

    @property
    def under(self) -> bool:
        return is_under(self.predicted["total"], self.truth["total"])


def is_under(predicted_mib: float, truth_mib: float) -> bool:
    """Whether a prediction is too low by more than is forgiven."""
    return truth_mib - predicted_mib > max(UNDER_SHARE_OF_TOTAL * truth_mib, UNDER_MIB)


def settings_of(said: Mapping[str, Any]) -> Settings:
    """A row's settings as the predictor takes them: the batch is the micro-batch, weights are read into memory."""
    return Settings(
        context_tokens=said["num_ctx"],
        parallel=said["num_parallel"],
        batch_tokens=said["batch"],
        ubatch_tokens=said["ubatch"],
        flash_attention="on" if said["flash_attn"] else "off",
        kv_type_k=said["kv_type"],
        kv_type_v=said["kv_type"],
        embedding=said["embedding"],
        mmap=False,
    )


def parts_of(pool: PoolParts) -> dict[str, float]:
    """The parts that were measured; the output buffer and the process are not among them."""
    context = pool.kv_cache_mib + pool.state_mib
    parts = {"weights": pool.weights_mib, "context": context, "compute": pool.compute_mib}
    return {**parts, "total": sum(parts.values())}


def cases_of(rows: Sequence[Mapping[str, Any]], models: Mapping[str, Any]) -> tuple[dict[str, list[Case]], float]:
    """Cases of the CPU, of the device and of the host beside it, and the seconds that the predictions took."""
    started = time.perf_counter()
    shapes = {name: describe(model["metadata"], model["tensors_summary"]) for name, model in models.items()}
    found: dict[str, list[Case]] = {"cpu": [], "device": [], "host": []}
    for row in rows:
        files = ModelFiles(shapes[row["model"]], row["file_size"])
        settings = settings_of(row["settings"])
        on_device = predict(files, settings, DEVICE) if row.get("gpu_sim_mib") else None
        sides = [("cpu", row["truth_mib"], predict(files, settings).host)]
        if on_device:
            sides.append(("device", row["gpu_sim_mib"]["device"], on_device.accelerators[0]))
            sides.append(("host", row["gpu_sim_mib"]["host"], on_device.host))
        for side, truth, pool in sides:
            found[side].append(Case(row["model"], row["family"], row["settings"], truth, parts_of(pool)))
    return found, time.perf_counter() - started


def percentile(values: Iterable[float], share: float) -> float:
    """The value that ``share`` of all do not exceed (nearest rank); 0 for none."""
    ordered = sorted(values)
    return ordered[max(-(-int(len(ordered) * share * 1000) // 1000) - 1, 0)] if ordered else 0.0


def figures(cases: Sequence[Case]) -> dict[str, Any]:
    """What is asked of a predictor, over all cases."""
    count = max(len(cases), 1)
    exact = sum(abs(case.predicted["context"] - case.truth["context"]) <= CONTEXT_EXACT_MIB for case in cases)
    return {
        "rows": len(cases),
        "under_share": sum(case.under for case in cases) / count,
        "median_pct": median(case.error_pct for case in cases) if cases else 0.0,
        "p95_pct": percentile((case.error_pct for case in cases), 0.95),
        "context_exact_share": exact / count,
    }


def summary(found: Mapping[str, list[Case]], seconds: float) -> dict[str, Any]:
    """The object that --json prints."""
    return {
        **figures(found["cpu"]),
        "seconds": round(seconds, 3),
        "device": figures(found["device"]),
        "host": figures(found["host"]),
    }


def baseline_cases(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Case]]:
    """The common rules on the same rows; they know no parts."""
    found: dict[str, list[Case]] = {name: [] for name in BASELINES}
    for row in rows:
        for name in found:
            total = row["baselines_mib"][name]
            predicted = {"total": total, "context": float("inf")}
            found[name].append(Case(row["model"], row["family"], row["settings"], row["truth_mib"], predicted))
    return found


def comparison(found: Mapping[str, list[Case]], rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Predictor and common rules as a table: who, rows, median, 95th percentile, share too low."""
    named = {"this predictor, CPU": found["cpu"], "this predictor, one GPU": found["device"]}
    named["this predictor, the host beside it"] = found["host"]
    named.update({BASELINES[name]: cases for name, cases in baseline_cases(rows).items()})
    table = [["", "rows", "median error", "95th percentile", "95th in MiB", "too low"]]
    for name, cases in named.items():
        sizes = figures(cases)
        worst = percentile((abs(case.error_mib) for case in cases), 0.95)
        row = [name, str(sizes["rows"]), f"{sizes['median_pct']:.2f} %", f"{sizes['p95_pct']:.1f} %", f"{worst:.0f}"]
        table.append([*row, f"{100 * sizes['under_share']:.0f} %"])
    return table


def by_part(cases: Sequence[Case]) -> list[list[str]]:
    """Median and 95th percentile of each part's error in MiB, and the worst row of each."""
    table = [["part", "median MiB", "95th MiB", "worst MiB", "worst row"]]
    for part in (*PARTS, "total"):
        errors = {index: abs(case.predicted[part] - case.truth[part]) for index, case in enumerate(cases)}
        worst = max(errors, key=errors.__getitem__)
        sizes = [f"{median(errors.values()):.2f}", f"{percentile(errors.values(), 0.95):.1f}", f"{errors[worst]:.1f}"]
        table.append([part, *sizes, told(cases[worst])])
    return table


def by_family(found: Mapping[str, list[Case]]) -> list[list[str]]:
    """Each family on the CPU and on the device."""
    groups: dict[str, dict[str, list[Case]]] = defaultdict(lambda: defaultdict(list))
    for side, cases in found.items():
        for case in cases:
            groups[case.family][side].append(case)
    table = [["family", "rows", "CPU median", "CPU 95th", "CPU low", "GPU median", "GPU 95th", "GPU low"]]
    for family, sides in sorted(groups.items()):
        cells = [family, str(len(sides["cpu"]))]
        for side in ("cpu", "device"):
            sizes = figures(sides[side])
            low = sum(case.under for case in sides[side])
            cells += [f"{sizes['median_pct']:.2f} %", f"{sizes['p95_pct']:.1f} %", str(low)]
        table.append(cells)
    return table


def by_row(cases: Sequence[Case]) -> list[list[str]]:
    """Every row: truth, prediction and their difference."""
    table = [["row", "truth MiB", "predicted MiB", "error MiB", "error", ""]]
    for case in cases:
        sizes = [f"{case.truth['total']:.1f}", f"{case.predicted['total']:.1f}", f"{case.error_mib:+.1f}"]
        table.append([told(case), *sizes, f"{case.error_pct:.2f} %", "too low" if case.under else ""])
    return table


def told(case: Case) -> str:
    """A row in few words."""
    said = case.settings
    attention = "" if said["flash_attn"] else " no FA"
    cache = "" if said["kv_type"] == "f16" else f" {said['kv_type']}"
    return f"{case.model} {said['num_ctx']}x{said['num_parallel']} b{said['ubatch']}{cache}{attention}"


def lines(table: Sequence[Sequence[str]], markdown: bool = False) -> str:
    """A table as text, aligned or as Markdown; the first row is the heading."""
    if markdown:
        head, *body = table
        return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """The command line; a wrong one ends the program with 2."""
    parser = argparse.ArgumentParser(description="errors of the memory predictor on measured rows")
    parser.add_argument("rows", type=Path, metavar="ROWS.jsonl")
    parser.add_argument("models", type=Path, metavar="MODELS.json")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one object: the figures of the CPU, of the device and of the host")
    form.add_argument("--markdown", action="store_true", help="the comparison as it stands in the README")
    form.add_argument("--rows", dest="every_row", action="store_true", help="every row as well")
    return parser.parse_args(words)


def report(found: Mapping[str, list[Case]], rows: Sequence[Mapping[str, Any]], every_row: bool) -> str:
    """Everything a person wants to see."""
    blocks = [lines(comparison(found, rows)), "", "parts on the CPU", lines(by_part(found["cpu"]))]
    blocks += ["", "parts on one GPU", lines(by_part(found["device"])), "", lines(by_family(found))]
    low = [case for cases in found.values() for case in cases if case.under]
    if every_row:
        blocks += ["", "CPU", lines(by_row(found["cpu"])), "", "one GPU", lines(by_row(found["device"]))]
    elif low:
        blocks += ["", "too low", lines(by_row(low))]
    return "\n".join(blocks)


def main(words: Sequence[str]) -> int:
    """Reads, predicts, prints. Returns the exit code."""
    said = arguments(words)
    try:
        rows = [json.loads(line) for line in said.rows.read_text(encoding="utf-8").splitlines() if line.strip()]
        models = json.loads(said.models.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"memory_error: {error}", file=sys.stderr)
        return 2
    missing = sorted({row["model"] for row in rows} - set(models))
    if missing or not rows:
        print(f"memory_error: {'no rows' if not rows else f'models without metadata: {missing}'}", file=sys.stderr)
        return 2
    found, seconds = cases_of(rows, models)
    if said.json:
        print(json.dumps(summary(found, seconds)))
    elif said.markdown:
        print(lines(comparison(found, rows), markdown=True))
    else:
        print(report(found, rows, said.every_row))
        print(f"\n{sum(map(len, found.values()))} numbers in {seconds:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
