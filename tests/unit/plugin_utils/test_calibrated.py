"""Plan and measurement side by side: by the plan's names, part by part, and nothing claimed that nobody told."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from plugins.module_utils.engine_memory import Buffer, LoadReport
from plugins.plugin_utils.calibrated import calibrated
from plugins.plugin_utils.calibration_document import CalibrationDocument
from plugins.plugin_utils.calibration_store import path_of, read, read_all, rendered
from plugins.plugin_utils.calibration_table import beside, calibration_table, findings

PARTS = ("weights", "kv_cache", "state", "compute", "output", "projector", "overhead", "prompt_cache", "checkpoint")
RAM = {"name": "ram", "kind": "cpu"}
CARDS = ({"name": "left", "kind": "gpu"}, {"name": "right", "kind": "gpu"})


def pool(name: str, **sizes: float | None) -> dict[str, Any]:
    return {"name": name, **{f"{part}_mib": sizes.get(part, 0.0) for part in PARTS}, "total_mib": 1000.0}


def resident(*pools: dict[str, Any], bound: str | None = "exact", mode: str = "chat", model: str = "m") -> dict[str, Any]:
    fit = {"bound": bound, "pools": list(pools), "total_mib": 1000.0}
    settings = {"context_tokens": 4096, "parallel": 1, "kv_type": "f16", "batch_tokens": None}
    return {"model": model, "engine_model": f"{model}:1b", "mode": mode, **settings, "fit": fit}


def plan(*models: dict[str, Any], accelerators: tuple[dict[str, str], ...] = (RAM,), engine: str = "llama_cpp") -> dict[str, Any]:
    return {"inventory": "lab", "hosts": {"a": {"engine": engine, "accelerators": list(accelerators), "resident": list(models)}}}


def reading(*buffers: tuple[str, str, float], **more: Any) -> dict[str, Any]:
    report = LoadReport(buffers=tuple(Buffer(part, part, backend, mib) for part, backend, mib in buffers))
    told = asdict(report) if buffers else None
    known = {"process": {"pid": 1, "identity": "boot:1:1", "started_at": ""}, "shown_mib": None, "shown_gpu_mib": None}
    return json.loads(json.dumps({**known, "report": told, "gpus": None, "notes": [], **more}))


def measured(of: dict[str, Any], said: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The one model of a document, which has its schema."""
    document = calibrated(plan(of, **more), "a", {"m": said})
    assert document == CalibrationDocument.model_validate(document).model_dump()
    return document["models"][0]


Row = tuple[Any, ...]
CASES: list[tuple[str, dict[str, Any], dict[str, Any], tuple[dict[str, str], ...], set[Row], bool | None]] = [
    (
        "a CPU alone, exact",
        resident(pool("ram", weights=100.0, kv_cache=20.0, overhead=40.0)),
        reading(("weights", "CPU_Mapped", 100.0), ("kv_cache", "CPU", 18.0)),
        (RAM,),
        {
            ("ram", "weights", 100.0, 100.0, 0.0, "log", True),
            ("ram", "kv_cache", 20.0, 18.0, 2.0, "log", True),
            ("ram", "overhead", 40.0, None, None, None, None),
        },
        True,
    ),
    (
        "too low and too high by more than the tolerance",
        resident(pool("ram", weights=1000.0, kv_cache=600.0)),
        reading(("weights", "CPU", 1100.0), ("kv_cache", "CPU", 500.0)),
        (RAM,),
        {("ram", "weights", 1000.0, 1100.0, -100.0, "log", False), ("ram", "kv_cache", 600.0, 500.0, 100.0, "log", False)},
        False,
    ),
    (
        "a bound may be too high",
        resident(pool("ram", weights=1000.0, kv_cache=600.0), bound="upper"),
        reading(("weights", "CPU", 900.0), ("kv_cache", "CPU", 599.0)),
        (RAM,),
        {("ram", "weights", 1000.0, 900.0, 100.0, "log", True), ("ram", "kv_cache", 600.0, 599.0, 1.0, "log", True)},
        True,
    ),
    (
        "what was not planned at all",
        resident(pool("ram", weights=50.0)),
        reading(("weights", "CPU", 50.0), ("state", "CPU", 9.0)),
        (RAM,),
        {("ram", "weights", 50.0, 50.0, 0.0, "log", True), ("ram", "state", 0.0, 9.0, -9.0, "log", False)},
        False,
    ),
    (
        "mapped and repacked",
        resident(pool("ram", weights=1520.0)),
        reading(("weights", "CPU_Mapped", 1435.0), ("weights", "CPU_REPACK", 717.0)),
        (RAM,),
        {("ram", "weights", 1520.0, 1435.0, 85.0, "log", True)},
        True,
    ),
    (
        "the output of an embedding model grows",
        resident(pool("ram", weights=50.0, output=97.0), mode="embedding"),
        reading(("weights", "CPU", 50.0), ("output", "CPU", 0.2)),
        (RAM,),
        {("ram", "weights", 50.0, 50.0, 0.0, "log", True), ("ram", "output", 97.0, 0.2, None, "log", True)},
        True,
    ),
    (
        "two cards by the names of the plan, the rest of a process is its overhead",
        resident(
            pool("left", weights=1000.0, overhead=500.0), pool("right", weights=990.0, overhead=500.0), pool("host", output=1.0)
        ),
        reading(
            ("weights", "CUDA0", 1000.0), ("weights", "CUDA1", 1000.0), ("output", "CUDA_Host", 1.0),
            gpus=[{"index": 0, "used_mib": 1400.0}, {"index": 1, "used_mib": None}],
        ),
        CARDS,
        {
            ("left", "weights", 1000.0, 1000.0, 0.0, "log", True),
            ("right", "weights", 990.0, 1000.0, -10.0, "log", True),
            ("host", "output", 1.0, 1.0, 0.0, "log", True),
            ("left", "overhead", 500.0, 400.0, 100.0, "nvidia-smi", None),
            ("right", "overhead", 500.0, None, None, None, None),
        },
        True,
    ),
    (
        "a process that sees the second card calls it the first",
        resident(pool("right", weights=1000.0)),
        reading(("weights", "CUDA0", 1000.0)),
        CARDS,
        {("right", "weights", 1000.0, 1000.0, 0.0, "log", True)},
        True,
    ),
    (
        "a model that went to the wrong place",
        resident(pool("left", weights=1000.0)),
        reading(("weights", "CPU", 1000.0)),
        CARDS,
        {("left", "weights", 1000.0, 0.0, 1000.0, "log", False), ("host", "weights", 0.0, 1000.0, -1000.0, "log", False)},
        False,
    ),
    (
        "only a total was declared",
        resident(pool("ram", **dict.fromkeys(PARTS)), bound="declared"),
        reading(("weights", "CPU", 700.0), ("kv_cache", "CPU", 200.0)),
        (RAM,),
        {("ram", "weights", None, 700.0, None, "log", None), ("ram", "kv_cache", None, 200.0, None, "log", None)},
        True,
    ),
    (
        "Ollama without its log",
        resident(pool("ram", weights=100.0, kv_cache=20.0, overhead=40.0, prompt_cache=8192.0)),
        reading(shown_mib=110.0),
        (RAM,),
        {
            ("ram", "weights", 100.0, None, None, None, None),
            ("ram", "kv_cache", 20.0, None, None, None, None),
            ("ram", "overhead", 40.0, None, None, None, None),
            ("ram", "prompt_cache", 8192.0, None, None, None, None),
            ("all", "total", 120.0, 110.0, 10.0, "/api/ps", None),
        },
        None,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("_name", "of", "said", "accelerators", "expected", "agrees"), CASES, ids=[case[0] for case in CASES])
def test_parts_stand_side_by_side(
    _name: str,
    of: dict[str, Any],
    said: dict[str, Any],
    accelerators: tuple[dict[str, str], ...],
    expected: set[Row],
    agrees: bool,
) -> None:
    model = measured(of, said, accelerators=accelerators)
    keys = ("memory", "part", "predicted_mib", "actual_mib", "error_mib", "source", "agrees")
    assert {tuple(part[key] for key in keys) for part in model["parts"]} == expected
    assert model["agrees"] is agrees


@pytest.mark.parametrize(
    ("of", "said", "sums"),
    [
        (resident(pool("ram", weights=110.0, overhead=40.0)), reading(("weights", "CPU", 100.0)), (110.0, 100.0, 10.0, 10.0)),
        (
            resident(pool("ram", **dict.fromkeys(PARTS)), bound="declared"),
            reading(("weights", "CPU", 700.0), ("kv_cache", "CPU", 100.0)),
            (1000.0, 800.0, 200.0, 25.0),
        ),
    ],
)
def test_the_sum_is_of_what_is_known(of: dict[str, Any], said: dict[str, Any], sums: tuple[float, ...]) -> None:
    model = measured(of, said)
    assert tuple(model[key] for key in ("predicted_mib", "actual_mib", "error_mib", "error_pct")) == sums


MODEL = resident(pool("ram", weights=100.0))
TOLD = reading(("weights", "CPU", 100.0))
SILENT = reading(notes=["the log does not hold this load any more"])


def test_nothing_known_is_no_document() -> None:
    assert [calibrated(plan(MODEL), "a", readings) for readings in ({}, {"m": SILENT})] == [None, None]


@pytest.mark.parametrize(
    ("now", "inventory", "said", "kept"),
    [
        (MODEL, "lab", SILENT, True),
        ({**MODEL, "context_tokens": 8192}, "lab", SILENT, False),
        (MODEL, "other", SILENT, False),
        (MODEL, "lab", reading(("weights", "CPU", 99.0)), False),
    ],
)
def test_an_earlier_measurement_stays_where_there_is_no_new_one(
    now: dict[str, Any], inventory: str, said: dict[str, Any], kept: bool
) -> None:
    first = calibrated(plan(MODEL), "a", {"m": TOLD})
    second = calibrated({**plan(now), "inventory": inventory}, "a", {"m": said}, first)
    assert (second is not None and second["models"] == first["models"]) is kept


def test_the_same_measurement_is_the_same_text() -> None:
    first = calibrated(plan(MODEL), "a", {"m": TOLD})
    assert rendered(first) == rendered(calibrated(plan(MODEL), "a", {"m": TOLD}, first))


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"schema_version": 2}'])
def test_a_file_that_nobody_can_use_is_none(text: str | None, tmp_path: Any) -> None:
    path = path_of(str(tmp_path), "a")
    path.parent.mkdir()
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert read_all(str(tmp_path), ["a"]) == []


def test_a_document_is_read_again(tmp_path: Any) -> None:
    document = calibrated(plan(MODEL), "a", {"m": TOLD})
    path_of(str(tmp_path), "a").parent.mkdir()
    path_of(str(tmp_path), "a").write_text(rendered(document), encoding="utf-8")
    assert read(str(tmp_path), "a") == document


def documents(said: dict[str, Any]) -> list[dict[str, Any]]:
    return [calibrated(plan(MODEL), "a", {"m": said})]


def test_a_person_reads_it_as_a_table() -> None:
    lines = calibration_table(documents(reading(("weights", "CPU", 120.0), shown_mib=90.0))).splitlines()
    assert lines[1].split() == ["a", "m", "ram", "weights", "100.0", "120.0", "-20.0", "-16.7"]
    assert lines[2].split() == ["a", "m", "sum", "100.0", "120.0", "-20.0", "-16.7", "does", "not", "agree"]
    assert lines[3].startswith("note: a, m: /api/ps shows 90.0 MiB: ")
    assert calibration_table([]) == ""


@pytest.mark.parametrize(
    ("said", "expected"),
    [(TOLD, []), (reading(("weights", "CPU", 120.0)), ["a: weights of m in ram took 120.0 MiB, predicted were 100.0"])],
)
def test_what_does_not_agree_is_said(said: dict[str, Any], expected: list[str]) -> None:
    assert findings(documents(said)) == expected


OTHER_FIT = {**MODEL, "fit": {**MODEL["fit"], "total_mib": 999.0}}


@pytest.mark.parametrize(
    ("now", "shown"),
    [
        (plan(MODEL), 1),
        (plan(OTHER_FIT), 0),
        (plan({**MODEL, "kv_type": "q8_0"}), 0),
        (plan(), 0),
        ({**plan(MODEL), "inventory": "b"}, 0),
    ],
)
def test_the_plan_shows_what_was_measured_of_it(now: dict[str, Any], shown: int) -> None:
    assert len(beside(now, documents(TOLD))) == shown
    assert beside({**now, "hosts": {}}, documents(TOLD)) == []
