"""The shape of build/INVENTORY/calibration/HOST.json, for its schema and for readers: what `calibrated` returns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .intent_types import Strict


class CalibrationPart(Strict):
    """One part of a loaded model in one memory, as it was predicted and as it is. None: not known."""

    memory: str = Field(description="the accelerator's name in the inventory, or host")
    part: str = Field(description="weights, kv_cache, … as in the plan; total where only a total is known")
    predicted_mib: float | None
    actual_mib: float | None
    error_mib: float | None = Field(description="predicted less actual: above 0 more was predicted than was taken")
    error_pct: float | None = Field(description="of what was taken")
    source: Literal["log", "nvidia-smi", "/api/ps"] | None
    agrees: bool | None = Field(description="within the tolerance; what is a bound or grows may have taken less")
    note: str | None


class CalibrationSettings(Strict):
    """The settings that the model was loaded with, by the plan."""

    context_tokens: int
    parallel: int
    kv_type: str
    batch_tokens: int | None


class CalibrationModel(Strict):
    """One loaded model. The sums are of the parts of which both figures are known; of a declared total, of everything."""

    model: str
    engine_model: str
    settings: CalibrationSettings
    bound: Literal["exact", "upper", "declared"] | None = Field(description="as in the plan")
    planned_mib: float | None = Field(description="the plan's total on accelerators, by which another plan is noticed")
    agrees: bool | None = Field(description="every part that the log tells does")
    predicted_mib: float | None
    actual_mib: float | None
    error_mib: float | None
    error_pct: float | None
    parts: list[CalibrationPart]
    notes: list[str]


class CalibrationTolerance(Strict):
    """How far a part may be off: the larger of the two."""

    share: float
    mib: float


class CalibrationDocument(Strict):
    """One host's calibration."""

    schema_version: Literal[1]
    inventory: str
    host: str
    engine: Literal["ollama", "llama_cpp", "external"]
    tolerance: CalibrationTolerance
    models: list[CalibrationModel]
