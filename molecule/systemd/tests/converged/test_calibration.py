"""After the first converge: the journal of real units tells what their servers took, and it is close to the plan."""

from __future__ import annotations

import json

from tests import systemd_host as lab


def test_every_part_is_told_by_the_journal() -> None:
    models = json.loads((lab.BUILD / "calibration" / "systemd.json").read_text(encoding="utf-8"))["models"]
    assert len(models) == 2
    for model in models:
        told = {part["part"] for part in model["parts"] if part["source"] == "log"}
        assert told == {"weights", "kv_cache", "compute", "output"}, model["notes"]
        assert model["agrees"], model["parts"]
