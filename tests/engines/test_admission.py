"""The replay against real engines: after each request the same models are loaded, with the same context, on the same devices.

What is real and what is not: the scheduler is always that of a real Ollama, of either family (v0.24.0, v0.33.0, as `make engines`
builds them; or the binaries that OLLAMA_TEST_BINARIES names, separated by colons). On the CPU it loads tiny models with its own
real runner. The devices of the second test are not there: llama-server is a stand-in (simulated_llama_server.py), which tells of
simulated memory what a real one would tell, so that the decisions are real and the gigabytes are not.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from plugins.plugin_utils.admission_memory import State
from plugins.plugin_utils.admission_options import Setup
from plugins.plugin_utils.admission_rules import rules_for
from plugins.plugin_utils.admission_steps import serve
from plugins.plugin_utils.admission_types import Request
from tests.engines.admission_scenarios import ON_DEVICES, ON_THE_CPU, Scenario
from tests.engines.build import folder_of
from tests.engines.ollama_lab import Engine, ollama, version_of
from tests.engines.scenarios import VERSIONS

pytestmark = pytest.mark.engines
# An unload returns before the memory is back: discrete devices are watched for it, at most 5 s.
SETTLE_S = 8.0

Loaded = dict[str, tuple[int, tuple[str, ...]]]


def binaries() -> dict[Path, str]:
    """Each binary with its version."""
    named = [Path(path) for path in os.environ.get("OLLAMA_TEST_BINARIES", "").split(":") if path]
    if named:
        return {binary: version_of(binary) for binary in named}
    return {folder_of(f"ollama-{version}") / "bin" / "ollama": version for version in VERSIONS}


def cases(scenarios: tuple[Scenario, ...]) -> list[Any]:
    found = []
    for binary, version in binaries().items():
        rules, _note = rules_for(version)
        chosen = [item for item in scenarios if rules and rules.family in item.families]
        found += [pytest.param(binary, version, item, id=f"v{version}: {item}") for item in chosen]
    return found


def really(engine: Engine, root: Path, scenario: Scenario) -> tuple[Loaded, dict[str, int]]:
    """Name -> context and devices, and the process of each, as the engine and its processes say."""
    loaded, processes = {}, {}
    held = engine.held(root)
    for name, item in engine.loaded().items():
        model = next(model for model in scenario.models if model.name == name)
        process, devices = held.get(f"sha256-{model.digest}", (0, ()))
        loaded[name] = item["context_length"], devices
        processes[model.digest] = process
    return loaded, processes


def replayed(state: State) -> Loaded:
    return {runner.candidate.name: (runner.asked.context_tokens, tuple(sorted(runner.devices))) for runner in state.runners}


def settled(engine: Engine, root: Path, scenario: Scenario, expected: list[Loaded]) -> tuple[Loaded, dict[str, int]]:
    deadline = time.monotonic() + SETTLE_S
    while True:
        seen = really(engine, root, scenario)
        if seen[0] in expected or time.monotonic() > deadline:
            return seen
        time.sleep(0.2)


@pytest.mark.parametrize(("binary", "version", "scenario"), cases(ON_THE_CPU))
def test_real_scheduler_with_real_runners_on_the_cpu(binary: Path, version: str, scenario: Scenario, tmp_path: Path) -> None:
    assert not scenario.simulated
    compare(binary, version, scenario, tmp_path)


@pytest.mark.parametrize(("binary", "version", "scenario"), cases(ON_DEVICES))
def test_real_scheduler_with_simulated_gpu_memory(binary: Path, version: str, scenario: Scenario, tmp_path: Path) -> None:
    assert scenario.simulated
    compare(binary, version, scenario, tmp_path)


def compare(binary: Path, version: str, scenario: Scenario, tmp_path: Path) -> None:
    """Ask request by request; some replay has to say each time what is loaded then."""
    if not binary.is_file():
        pytest.skip(f"no Ollama {version} is built here: python -m tests.engines.build ollama-{version}")
    rules, _note = rules_for(version)
    assert rules
    setups = Setup(scenario.host, scenario.settings, rules, "both").readings()
    states = {setup.seen: State() for setup in setups}
    with ollama(binary, tmp_path, scenario.models, scenario.environment, scenario.simulated) as engine:
        assert engine.version() == version
        before: dict[str, int] = {}
        for request in scenario.requests:
            states = {
                setup.seen: serve(setup, states[setup.seen], scenario.candidates[request.name], request)
                for setup in setups
                if setup.seen in states
            }
            error = put(engine, scenario, request)
            seen, processes = settled(engine, tmp_path, scenario, [replayed(state) for state in states.values()])
            states = {name: state for name, state in states.items() if replayed(state) == seen and refused(state) == bool(error)}
            assert states, f"{request} gave {seen} ({error}); replayed {explained(scenario, setups, request)}"
            assert restarted(before, processes) <= {restart for state in states.values() for restart in restarts(state, scenario)}
            before = processes
            states = {name: State(state.runners) for name, state in states.items()}


def put(engine: Engine, scenario: Scenario, request: Request) -> str | None:
    body: dict[str, Any] = {key: value for key, value in vars(request.options).items() if value is not None}
    more: dict[str, Any] = {"options": body} if body else {}
    if request.keep_alive is not None:
        more["keep_alive"] = request.keep_alive
    return engine.ask(request.name, embedding=scenario.candidates[request.name].is_embedding, **more)


def refused(state: State) -> bool:
    return any(event.kind == "refused" for event in state.events)


def restarted(before: dict[str, int], after: dict[str, int]) -> set[str]:
    """Digests that have another process now."""
    return {digest for digest, process in after.items() if process and before.get(digest, process) != process}


def restarts(state: State, scenario: Scenario) -> set[str]:
    names = {event.model for event in state.events if event.kind in ("reloads", "evicts", "loads")}
    return {model.digest for model in scenario.models if model.name in names}


def explained(scenario: Scenario, setups: tuple[Setup, ...], request: Request) -> list[str]:
    """Everything that the replays say up to this request."""
    lines = []
    for setup in setups:
        state = State()
        for item in scenario.requests[: scenario.requests.index(request) + 1]:
            state = serve(setup, state, scenario.candidates[item.name], item)
        lines += [setup.seen, *(event.sentence for event in state.events)]
    return lines
