"""The sample's schema is the committed one, and what is appended is on the disk."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
from pydantic import ValidationError

from plugins.module_utils.stream import ERROR_KINDS
from plugins.plugin_utils.metrics import VERDICTS
from plugins.plugin_utils.samples import ErrorKind, SampleFile, Verdict, checked, schema
from tests.unit.benchmarks import failed, receipt, sample

COMMITTED = Path(__file__).parents[3] / "plugins" / "schemas" / "sample.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(schema())
NOW = datetime(2026, 11, 21, 11, 2, 3, tzinfo=UTC)
GOOD = [
    sample(),
    sample(verdict="failed", error=failed(), receipts={"before": None, "after": None}, content=None, reasoning=None, usage=None),
    sample(grade={"pass": True, "score": 0.5, "checks": [{"name": "json", "pass": True}]}),
    sample(receipts={"before": receipt(error=failed(), models=[]), "after": receipt(counters={"a": 1.0})}),
    sample(tool_calls=[{"name": "f", "arguments": "{}"}], usage={"anything": ["the", {"engine": "sent"}]}),
]


@pytest.mark.parametrize("value", GOOD)
def test_a_sample_obeys_both_and_keeps_its_content(value: dict) -> None:
    data = checked(value)
    VALIDATOR.validate(data)
    assert json.loads(json.dumps(data)) == data
    assert {name: data[name] for name in value} == value


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema())


BAD = [
    {"verdict": "lukewarm"},
    {"verdict": None},
    {"prompt_sha256": "xyz"},
    {"mode": "image"},
    {"unknown": 1},
    {"number": 0},
    {"error": {"kind": "bad luck", "message": "", "status": None}},
    {"grade": {"pass": True, "score": 2, "checks": []}},
    {"times": {"started_ns": 1}},
    {"receipts": {"before": None}},
    {"via": "pigeon"},
]


@pytest.mark.parametrize("change", BAD)
def test_what_is_no_sample_is_refused_by_both(change: dict) -> None:
    with pytest.raises(ValidationError):
        checked({**sample(), **change})
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate({**checked(sample()), **change})


def test_the_words_are_the_same_everywhere() -> None:
    assert get_args(Verdict) == VERDICTS
    assert get_args(ErrorKind) == ERROR_KINDS


def test_a_sample_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    file = SampleFile(tmp_path / "new" / "samples", NOW)
    assert (file.run, file.path.name) == ("20261121T110203Z", "20261121T110203Z.jsonl")
    assert file.summary_path.name == "20261121T110203Z.summary.json"
    for number in (1, 2):
        file.append(checked(sample(number=number, content="line\nbreak \u2028 ü")))
        lines = file.path.read_bytes().split(b"\n")
        assert [json.loads(line)["number"] for line in lines[:-1]] == list(range(1, number + 1))
    file.close()


def test_a_removed_file_is_written_again(tmp_path: Path) -> None:
    file = SampleFile(tmp_path / "samples", NOW)
    taken = [checked(sample(number=number)) for number in (1, 2)]
    for one in taken:
        file.append(one)
    shutil.rmtree(tmp_path / "samples")
    file.restore(taken)
    file.close()
    assert [json.loads(line) for line in file.path.read_text().splitlines()] == taken


def test_two_runs_in_one_second_do_not_share_a_file(tmp_path: Path) -> None:
    files = [SampleFile(tmp_path, NOW) for _number in range(3)]
    assert [file.run for file in files] == ["20261121T110203Z", "20261121T110203Z-2", "20261121T110203Z-3"]
    for file in files:
        file.close()
