"""After the benchmark: the raw samples are a real model's answers to the mission's questions."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import jsonschema
import pytest

from tests import lab


@pytest.fixture(scope="module")
def samples() -> list[dict[str, Any]]:
    """The newest run's."""
    files = sorted((lab.BUILD / "samples").glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    assert files, "no samples were written"
    return [json.loads(line) for line in files[-1].read_text(encoding="utf-8").splitlines()]


def test_every_workload_was_measured(samples: list[dict[str, Any]]) -> None:
    assert {sample["workload"] for sample in samples} == set(lab.load_plan()["workloads"])


def test_every_sample_keeps_its_schema(samples: list[dict[str, Any]]) -> None:
    schema = json.loads((lab.ROOT / "plugins" / "schemas" / "sample.schema.json").read_text(encoding="utf-8"))
    for sample in samples:
        jsonschema.validate(sample, schema)


def test_nothing_failed(samples: list[dict[str, Any]]) -> None:
    assert [(one["workload"], one["error"]) for one in samples if one["verdict"] == "failed" or one["error"]] == []


def test_answers_are_a_models(samples: list[dict[str, Any]]) -> None:
    answers = [sample["content"] for sample in samples if sample["mode"] == "chat"]
    assert answers
    assert all(len(answer.split()) > 3 for answer in answers)
    assert len(set(answers)) > len(answers) // 2, "many answers are alike: is it a model that speaks?"


def test_tokens_are_counted_by_the_engine(samples: list[dict[str, Any]]) -> None:
    for sample in samples:
        assert sample["usage"]["prompt_tokens"] > 0
        if sample["mode"] == "chat":
            assert 0 < sample["usage"]["completion_tokens"] <= 256


def test_embeddings_have_a_dimension(samples: list[dict[str, Any]]) -> None:
    dimensions = {sample["dimension"] for sample in samples if sample["mode"] == "embedding"}
    assert dimensions == {576}


def test_most_samples_are_warm(samples: list[dict[str, Any]]) -> None:
    warm = sum(sample["verdict"] == "warm" for sample in samples)
    assert warm * 2 > len(samples), {sample["verdict"] for sample in samples}


def test_hosts_of_one_machine_took_turns(samples: list[dict[str, Any]]) -> None:
    """The three hosts share one machine: a request ends before the next one starts."""
    assert len({sample["machine"] for sample in samples}) == 1
    assert len({sample["host"] for sample in samples}) == 3
    spans = sorted((times["started_ns"], times["started_ns"] + times["end_ns"]) for times in (one["times"] for one in samples))
    assert [(end, start) for (_started, end), (start, _end) in pairwise(spans) if end > start] == []


def test_no_sample_holds_the_key(samples: list[dict[str, Any]]) -> None:
    assert lab.master_key() not in json.dumps(samples)


def test_there_is_a_summary() -> None:
    summaries = list((lab.BUILD / "samples").glob("*.json"))
    assert summaries
    assert json.loads(max(summaries, key=lambda path: path.stat().st_mtime).read_text(encoding="utf-8"))


def test_measuring_restarted_nothing() -> None:
    assert lab.identities() == lab.recorded()
