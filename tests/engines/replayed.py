"""The same scenario as the replay of admission predicts it, in the same words as `play`."""

from __future__ import annotations

from math import isinf
from pathlib import Path

from plugins.module_utils.gguf import read_header
from plugins.plugin_utils.admission import (
    Candidate,
    EngineHost,
    Footprint,
    Replay,
    Request,
    RunnerOptions,
    ServerSettings,
    replay,
    shape_from_header,
)
from tests.engines.play import Played, Store
from tests.engines.scenarios import ENCODER, FOREVER, HUGE, HYBRID, WIDE, Left, Named, Scenario, Step

# More than any of the small models takes.
REAL_MIB = 100.0
SETTINGS = {
    "OLLAMA_MAX_LOADED_MODELS": "max_loaded_models",
    "OLLAMA_NUM_PARALLEL": "num_parallel",
    "OLLAMA_CONTEXT_LENGTH": "context_length",
}


def free_mib() -> float:
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("MemAvailable"))


def settings_of(scenario: Scenario) -> ServerSettings:
    numbers = {SETTINGS[name]: int(value) for name, value in scenario.settings.items() if name in SETTINGS}
    return ServerSettings(**numbers, keep_alive=scenario.settings.get("OLLAMA_KEEP_ALIVE"))


def candidate(store: Store, named: Named, load: Step) -> Candidate:
    path = store.files[named.weights]
    return Candidate(
        name=named.name,
        file_bytes=path.stat().st_size,
        shape=shape_from_header(read_header(str(path)).metadata),
        blob_digest=store.blobs[named.name],
        family={ENCODER: "bert", HYBRID: "lfm2", WIDE: "phi3"}.get(named.weights, "llama"),
        is_embedding=named.weights == ENCODER,
        options=RunnerOptions(**named.parameters),
        keep_alive=load.keep_alive,
        # What nobody knows is left to the engine's own estimate.
        real=None if named.name == HUGE else Footprint(device_mib=REAL_MIB),
    )


def request(step: Step) -> Request:
    return Request(step.name, RunnerOptions(**step.options), keep_alive=step.keep_alive)


def replayed(store: Store, scenario: Scenario, version: str) -> Replay:
    named = {alias.name: alias for alias in store.aliases()}
    models = [candidate(store, named[step.name], step) for step in scenario.loads]
    host = EngineHost(ram_free_mib=free_mib(), swap_free_mib=0.0)
    return replay(host, settings_of(scenario), version, models, [request(step) for step in scenario.steps])


def in_words(said: Replay) -> Played:
    """The events without what comes after the last request, and who is left."""
    events = tuple((event.kind, event.model) for event in said.events if event.kind != "expires")
    left = tuple(
        Left(
            resident.name,
            resident.context_tokens,
            resident.parallel,
            FOREVER if isinf(resident.keep_alive_s) else round(resident.keep_alive_s),
        )
        for resident in sorted(said.residents, key=lambda resident: resident.name)
    )
    return Played(events, left)
