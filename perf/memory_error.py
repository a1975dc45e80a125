#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far is the predictor from measured memory? Runs it on measured rows and prints its errors beside those of common rules.

    perf/memory_error.py ROWS.jsonl MODELS.json [--json | --markdown | --readme FILE | --rows]

ROWS.jsonl: one object per (model, setting) with ``model``, ``settings``, ``truth_mib`` (CPU: weights, context, compute, total),
and where they are known ``family``, ``file_size``, ``gpu_sim_mib`` (device and host of a simulated GPU) and ``baselines_mib``.
MODELS.json: per model ``metadata`` and ``tensors_summary``. A row counts as too low when the prediction misses more than 1 % of
the total or 8 MiB, whichever is larger. Percentages are of a row's total, also those of parts.

Exit code 0; 1 where rows could not be predicted (they count with a prediction of nothing); 2 where the files cannot be read.
"""

from __future__ import annotations

import argparse
import json
import re
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
from plugins.module_utils.model_shape import ModelShape, describe

UNDER_SHARE_OF_TOTAL = 0.01
UNDER_MIB = 8.0
CONTEXT_EXACT_MIB = 1.0
PARTS = ("weights", "context", "compute")
SIDES = {"cpu": "CPU", "device": "one GPU", "host": "the host beside it"}
README_TABLE = re.compile(r"(?<=<!-- memory error: begin -->\n).*?(?=<!-- memory error: end -->)", re.DOTALL)
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
        return percent(abs(self.error_mib), self.truth["total"])

    @property
    def under(self) -> bool:
        return is_under(self.predicted["total"], self.truth["total"])


def percent(error_mib: float, total_mib: float) -> float:
    """An error as a share of a total; of nothing, any error is all of it."""
    return 100 * error_mib / total_mib if total_mib else 100.0 * bool(error_mib)


def is_under(predicted_mib: float, truth_mib: float) -> bool:
    """Whether a prediction is too low by more than is forgiven."""
    return truth_mib - predicted_mib > max(UNDER_SHARE_OF_TOTAL * truth_mib, UNDER_MIB)


class Unusable(Exception):
    """A file or a row that cannot be used; the message names it."""


def settings_of(said: Mapping[str, Any]) -> Settings:
    """A row's settings as the predictor takes them: the batch is the micro-batch, weights are read into memory."""
    kv_type = said.get("kv_type", "f16")
    return Settings(
        context_tokens=said["num_ctx"],
        parallel=said.get("num_parallel", 1),
        batch_tokens=said.get("batch", said.get("ubatch")),
        ubatch_tokens=said.get("ubatch", said.get("batch")),
        flash_attention="on" if said.get("flash_attn", True) else "off",
        kv_type_k=said.get("kv_type_k", kv_type),
        kv_type_v=said.get("kv_type_v", kv_type),
        embedding=bool(said.get("embedding", False)),
        mmap=False,
    )


def parts_of(pool: PoolParts) -> dict[str, float]:
    """The parts that were measured; the output buffer and the process are not among them."""
    context = pool.kv_cache_mib + pool.state_mib
    parts = {"weights": pool.weights_mib, "context": context, "compute": pool.compute_mib}
    return {**parts, "total": sum(parts.values())}


NOTHING = {"weights": 0.0, "context": 0.0, "compute": 0.0, "total": 0.0}


@dataclass
class Spent:
    """The seconds that predictions took: for the CPU, models read from their metadata included, and for the device."""

    cpu_s: float = 0.0
    device_s: float = 0.0


def cases_of(rows: Sequence[Mapping[str, Any]], models: Mapping[str, Any]) -> tuple[dict[str, list[Case]], Spent, list[str]]:
    """Cases of the CPU, of the device and of the host beside it, what the predictions took, and what went wrong."""
    spent = Spent()
    shapes: dict[str, ModelShape] = {}
    found: dict[str, list[Case]] = {side: [] for side in SIDES}
    wrong = []
    for number, row in enumerate(rows, 1):
        truths = truths_of(row)
        started = time.perf_counter()
        try:
            name = row["model"]
            if name not in shapes:
                shapes[name] = describe(models[name]["metadata"], models[name].get("tensors_summary"))
            files = ModelFiles(shapes[name], row.get("file_size") or models[name].get("file_size"))
            predicted = predicted_sides(files, settings_of(row["settings"]), "device" in truths, spent)
        # Whatever it is: this row has no prediction, the others are judged all the same.
        except Exception as error:
            wrong.append(f"row {number} ({row.get('model')}): {type(error).__name__}: {error}")
            predicted = dict.fromkeys(SIDES, NOTHING)
        spent.cpu_s += time.perf_counter() - started
        for side, truth in truths.items():
            found[side].append(Case(row["model"], row.get("family") or "?", row.get("settings") or {}, truth, predicted[side]))
    spent.cpu_s -= spent.device_s
    return found, spent, wrong


def truths_of(row: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """What was measured: always of the CPU, of a device and the host beside it where that was done."""
    simulated = row.get("gpu_sim_mib") or {}
    truths = {"cpu": row["truth_mib"], "device": simulated.get("device"), "host": simulated.get("host")}
    return {side: truth for side, truth in truths.items() if truth}


def predicted_sides(files: ModelFiles, settings: Settings, with_device: bool, spent: Spent) -> dict[str, dict[str, float]]:
    """The parts that are predicted for each side."""
    sides = {"cpu": parts_of(predict(files, settings).host)}
    if with_device:
        started = time.perf_counter()
        found = predict(files, settings, DEVICE)
        spent.device_s += time.perf_counter() - started
        sides.update(device=parts_of(found.accelerators[0]), host=parts_of(found.host))
    return sides


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


def summary(found: Mapping[str, list[Case]], spent: Spent) -> dict[str, Any]:
    """The object that --json prints."""
    return {
        **figures(found["cpu"]),
        "seconds": round(spent.cpu_s, 3),
        "device": {**figures(found["device"]), "seconds": round(spent.device_s, 3)},
        "host": figures(found["host"]),
    }


def baseline_cases(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Case]]:
    """The common rules on the rows that have them; they know no parts."""
    found: dict[str, list[Case]] = {name: [] for name in BASELINES}
    for row in rows:
        for name, total in (row.get("baselines_mib") or {}).items():
            if name in found:
                predicted = {"total": total, "context": float("inf")}
                found[name].append(Case(row["model"], row.get("family") or "?", row["settings"], row["truth_mib"], predicted))
    return found


def comparison(found: Mapping[str, list[Case]], rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Predictor and common rules as a table: who, rows, errors, share too low, share of exact caches."""
    named = {f"this predictor, {SIDES[side]}": cases for side, cases in found.items()}
    rules = {BASELINES[name]: cases for name, cases in baseline_cases(rows).items()}
    table = [["", "rows", "median error", "95th percentile", "95th in MiB", "too low", "caches exact"]]
    for name, cases in {**named, **rules}.items():
        if cases:
            sizes = figures(cases)
            exact = f"{100 * sizes['context_exact_share']:.0f} %" if name in named else "-"
            low = f"{100 * sizes['under_share']:.0f} %"
            table.append(
                [name, str(len(cases)), *errors_of(sizes), mib(percentile(sizes_of(cases, "total"), 0.95), 0), low, exact]
            )
    return table


def errors_of(sizes: Mapping[str, Any]) -> list[str]:
    return [f"{sizes['median_pct']:.2f} %", f"{sizes['p95_pct']:.2f} %"]


def mib(size: float, digits: int = 2) -> str:
    return f"{size:.{digits}f}"


def sizes_of(cases: Iterable[Case], part: str) -> list[float]:
    """The errors of a part, in MiB."""
    return [abs(case.predicted[part] - case.truth[part]) for case in cases]


def by_part(cases: Sequence[Case]) -> list[list[str]]:
    """Median, 95th percentile and worst error of each part, and which row that is where it is one."""
    table = [["part", "median", "95th", "median MiB", "95th MiB", "worst MiB", "worst row"]]
    for part in (*PARTS, "total"):
        errors = sizes_of(cases, part)
        shares = [percent(error, case.truth["total"]) for error, case in zip(errors, cases, strict=True)]
        worst = max(range(len(errors)), key=errors.__getitem__)
        cells = [
            f"{median(shares):.2f} %",
            f"{percentile(shares, 0.95):.2f} %",
            mib(median(errors)),
            mib(percentile(errors, 0.95)),
        ]
        row = told(cases[worst]) if round(errors[worst], 1) else "-"
        table.append([part, *cells, mib(errors[worst]), row])
    return table


def by_family(found: Mapping[str, list[Case]]) -> list[list[str]]:
    """Each family on the CPU and on the device."""
    groups: dict[str, dict[str, list[Case]]] = defaultdict(lambda: defaultdict(list))
    for side, cases in found.items():
        for case in cases:
            groups[case.family][side].append(case)
    heads = [f"{side} {word}" for side in ("CPU", "GPU") for word in ("median", "95th", "95th MiB", "low")]
    table = [["family", "rows", *heads]]
    for family, sides in sorted(groups.items()):
        cells = [family, str(len(sides["cpu"]))]
        for side in ("cpu", "device"):
            errors = mib(percentile(sizes_of(sides[side], "total"), 0.95))
            cells += [*errors_of(figures(sides[side])), errors, str(sum(case.under for case in sides[side]))]
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
    attention = "" if said.get("flash_attn", True) else " no FA"
    cache = "" if said.get("kv_type", "f16") == "f16" else f" {said['kv_type']}"
    return f"{case.model} {said.get('num_ctx')}x{said.get('num_parallel', 1)} b{said.get('ubatch')}{cache}{attention}"


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
    form.add_argument("--readme", type=Path, metavar="FILE", help="put that comparison into FILE, between its marks")
    form.add_argument("--rows", dest="every_row", action="store_true", help="every row as well")
    return parser.parse_args(words)


def report(found: Mapping[str, list[Case]], rows: Sequence[Mapping[str, Any]], every_row: bool) -> str:
    """Everything a person wants to see."""
    blocks = [lines(comparison(found, rows))]
    for side, cases in found.items():
        blocks += ["", f"parts, {SIDES[side]}", lines(by_part(cases))] if cases else []
    blocks += ["", lines(by_family(found))]
    low = [case for cases in found.values() for case in cases if case.under]
    if every_row:
        for side, cases in found.items():
            blocks += ["", SIDES[side], lines(by_row(cases))]
    elif low:
        blocks += ["", "too low", lines(by_row(low))]
    return "\n".join(blocks)


def read(rows_path: Path, models_path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The two files. Raises Unusable where they cannot be read or do not belong together."""
    rows = []
    for number, line in enumerate(text_of(rows_path).splitlines(), 1):
        if line.strip():
            rows.append(checked_row(parsed(line, f"{rows_path}:{number}"), f"{rows_path}:{number}"))
    models = parsed(text_of(models_path), str(models_path))
    if not rows:
        raise Unusable(f"{rows_path}: no rows")
    if not isinstance(models, dict):
        raise Unusable(f"{models_path}: got a {type(models).__name__}, expected an object with the models by name")
    missing = sorted({row["model"] for row in rows} - set(models))
    if missing:
        raise Unusable(f"{models_path}: lacks {', '.join(missing)}, of which {rows_path} has rows")
    odd = [
        name
        for name in sorted({row["model"] for row in rows})
        if not isinstance(models[name], dict) or "metadata" not in models[name]
    ]
    if odd:
        raise Unusable(f"{models_path}: {odd[0]} has no metadata")
    return rows, models


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"{path}: cannot be read: {error}") from error


def parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Unusable(f"{where}: is no JSON: {error}") from error


def checked_row(row: Any, where: str) -> dict[str, Any]:
    """A row that has what every row needs."""
    if not isinstance(row, dict):
        raise Unusable(f"{where}: got a {type(row).__name__}, expected an object")
    lacks = [key for key in ("model", "settings", "truth_mib") if not row.get(key)]
    if lacks:
        raise Unusable(f"{where}: lacks {', '.join(lacks)}")
    for side, truth in truths_of(row).items():
        sizes = [truth.get(part) if isinstance(truth, dict) else None for part in (*PARTS, "total")]
        if not all(isinstance(size, int | float) and 0 <= size < float("inf") for size in sizes):
            raise Unusable(f"{where}: the measured sizes of {side} are not {', '.join(PARTS)} and total in MiB")
    return row


def put_into(path: Path, table: str) -> None:
    """Write a table between its marks in a file. Raises Unusable where these are not there."""
    text = text_of(path)
    if not README_TABLE.search(text):
        raise Unusable(f"{path}: lacks the marks <!-- memory error: begin --> and <!-- memory error: end -->")
    path.write_text(README_TABLE.sub(lambda _match: f"{table}\n", text), encoding="utf-8")


def show(said: argparse.Namespace, rows: list[dict[str, Any]], found: dict[str, list[Case]], spent: Spent) -> None:
    """Print what was asked for."""
    if said.json:
        print(json.dumps(summary(found, spent)))
    elif said.markdown:
        print(lines(comparison(found, rows), markdown=True))
    elif said.readme:
        put_into(said.readme, lines(comparison(found, rows), markdown=True))
    else:
        print(report(found, rows, said.every_row))
        taken = [
            f"{len(found[side])} for the {side} in {seconds:.2f} s"
            for side, seconds in (("cpu", spent.cpu_s), ("device", spent.device_s))
        ]
        print(f"\npredictions: {', '.join(taken)}")


def main(words: Sequence[str]) -> int:
    """Reads, predicts, prints. Returns the exit code."""
    said = arguments(words)
    try:
        rows, models = read(said.rows, said.models)
        found, spent, wrong = cases_of(rows, models)
        show(said, rows, found, spent)
    except Unusable as error:
        print(f"memory_error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever reads has seen enough.
        sys.stdout = None
        return 0
    for text in wrong:
        print(f"memory_error: {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
