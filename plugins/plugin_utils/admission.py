"""Admission: will Ollama keep a resident set in memory? A replay of its scheduler, model by model, and what would mend it.

``replay`` loads models in the order they are given and serves the requests that follow; ``mend`` searches for the order
and the settings with which all of them stay; ``engine_prediction`` is the engine's own idea of a model's size. All are
pure: same input, same answer. Physical fit is another question: admission takes each model's real size as given and says
whose number it was.
"""

from __future__ import annotations

from .admission_prediction import Prediction, shape_from_header
from .admission_replay import engine_prediction, replay
from .admission_search import Change, Mend, mend
from .admission_types import (
    Accelerator,
    Candidate,
    EngineHost,
    EngineShape,
    Event,
    Footprint,
    Loading,
    Measure,
    Replay,
    Request,
    Resident,
    RunnerOptions,
    ServerSettings,
)

__all__ = [
    "Accelerator",
    "Candidate",
    "Change",
    "EngineHost",
    "EngineShape",
    "Event",
    "Footprint",
    "Loading",
    "Measure",
    "Mend",
    "Prediction",
    "Replay",
    "Request",
    "Resident",
    "RunnerOptions",
    "ServerSettings",
    "engine_prediction",
    "mend",
    "replay",
    "shape_from_header",
]
