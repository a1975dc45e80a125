# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring an Ollama to its resident set, gently first.

Only what is missing or wrong is asked for, one model at a time, largest first. Where that is not enough (a model was pushed
out, or a part of it went to the host's memory) the planned models are unloaded from the first wrong one on and loaded again in
their order; then, if need be, all of them. Then it ends, whatever was reached. What nobody planned is never unloaded by us.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Protocol, Sequence

from .connection import RequestFailed
from .resident_set import Expected, Finding, findings, loaded_as, on_disk, to_load, to_reorder

# Ollama knows a loaded model by its file: one whose name has another file by now may not be found to be unloaded.
REPLACED_LIMIT_S = 10.0


class Engine(Protocol):
    """What is asked of an engine: see ``resident_engine.ResidentEngine``."""

    def look(self) -> dict[str, Any]: ...

    def load(self, name: str, embedding: bool) -> None: ...

    def unload(self, name: str, digest: str | None, limit_s: float | None = None) -> None: ...


@dataclass
class Outcome:
    """What was reached: the last receipt, what is still wrong, what was asked for and came, steps in words, and errors by model.

    ``receipt['error']`` is not None where the engine was lost; there are no findings then.
    """

    receipt: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    steps: list[tuple[str, str, str]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def note(self, kind: str, model: str, text: str) -> None:
        """One step: what kind, which model, a sentence about it."""
        self.steps.append((kind, model, text))


def reach(
    engine: Engine, expected: Sequence[Expected], receipt: dict[str, Any], left_alone: frozenset[str] = frozenset()
) -> Outcome:
    """Bring the engine from ``receipt`` to the set. ``expected``: in the order of loading. ``left_alone``: not touched now.

    A model that cannot be loaded is not tried twice, so that it does not take others down with it. Never raises RequestFailed.
    """
    outcome = Outcome(receipt)
    if receipt["error"] is None:
        _gently(engine, expected, outcome, left_alone)
        _in_order(engine, expected, outcome, left_alone)
    if outcome.receipt["error"] is None:
        outcome.findings = [_told(finding, outcome) for finding in findings(expected, outcome.receipt)]
    return outcome


def _gently(engine: Engine, expected: Sequence[Expected], outcome: Outcome, left_alone: frozenset[str]) -> None:
    wanted = to_load(expected, outcome.receipt, left_alone)
    there = [model for model in expected if model not in wanted and loaded_as(model, outcome.receipt)]
    for model in wanted:
        _load(engine, model, outcome)
    if not wanted:
        return
    outcome.receipt = engine.look()
    if outcome.receipt["error"] is None:
        for model in there:
            if not loaded_as(model, outcome.receipt):
                names = ", ".join(item.name for item in wanted)
                outcome.note("displaced", model.name, f"was pushed out by loading {names}")


def _in_order(engine: Engine, expected: Sequence[Expected], outcome: Outcome, left_alone: frozenset[str]) -> None:
    """From the first wrong one on; then from the first of all. Each only where something is still wrong."""
    before: list[Expected] = []
    for whole in (False, True):
        alone = left_alone | frozenset(outcome.failures)
        wrong = [] if outcome.receipt["error"] else to_reorder(expected, outcome.receipt, alone)
        touched = [model for model in expected if model.name not in alone]
        again = touched[0 if whole else touched.index(wrong[0]) :] if wrong else []
        if not again or again == before:
            return
        _again(engine, again, outcome)
        before, outcome.receipt = again, engine.look()


def _again(engine: Engine, models: Sequence[Expected], outcome: Outcome) -> None:
    for model in reversed(models):
        found = loaded_as(model, outcome.receipt)
        # One that was loaded and is not there may be in memory under another name of its file, which it shares then.
        hidden = [{"name": model.name, "digest": None}] if not found and model.name in outcome.loaded else []
        for item in [*found, *hidden]:
            _unload(engine, model, item, outcome)
    for model in models:
        _load(engine, model, outcome)


def _unload(engine: Engine, model: Expected, item: Mapping[str, Any], outcome: Outcome) -> None:
    stored = on_disk(outcome.receipt, model.name) or {}
    replaced = item["digest"] is not None and stored.get("digest") not in (None, item["digest"])
    try:
        engine.unload(str(item["name"]), item["digest"], REPLACED_LIMIT_S if replaced else None)
        outcome.note("unloaded", model.name, "was unloaded, so that all are loaded in their order")
    except RequestFailed as failure:
        outcome.note("unload_failed", model.name, f"could not be unloaded: {failure.message}")


def _load(engine: Engine, model: Expected, outcome: Outcome) -> None:
    try:
        engine.load(model.name, model.mode == "embedding")
    except RequestFailed as failure:
        outcome.failures[model.name] = failure.message
        outcome.note("load_failed", model.name, f"could not be loaded: {failure.message}")
        return
    outcome.note("loaded", model.name, "was loaded or told to stay")
    if model.name not in outcome.loaded:
        outcome.loaded.append(model.name)


def _told(finding: Finding, outcome: Outcome) -> Finding:
    """A finding with what was tried against it."""
    if finding.model in outcome.failures:
        return Finding(finding.model, finding.kind, f"{finding.text}; loading it failed: {outcome.failures[finding.model]}")
    tried = [kind for kind, model, _text in outcome.steps if model == finding.model]
    if "loaded" not in tried or finding.kind not in ("missing", "digest", "context", "split", "keep_alive"):
        return finding
    how = (
        ", also in the order of the plan with all that comes after it" if "unloaded" in tried or tried.count("loaded") > 1 else ""
    )
    return Finding(
        finding.model, finding.kind, f"{finding.text} although it was loaded{how}: the set does not fit, or a client interferes"
    )
