"""What the replay of admission says of a scenario is what happens on a real Ollama of either scheduler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engines.conftest import built
from tests.engines.play import Store, fill, play, residents
from tests.engines.replayed import in_words, replayed
from tests.engines.scenarios import FOREVER, SCENARIOS, VERSIONS, Scenario
from tests.engines.servers import ollama

pytestmark = pytest.mark.engines


@dataclass(frozen=True)
class Engine:
    version: str
    build: Path
    store: Store


@pytest.fixture(scope="module")
def engine(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Engine]:
    """An Ollama of a version with the models of all scenarios in its store."""
    made: dict[str, Engine] = {}

    def find(version: str) -> Engine:
        if version not in made:
            build, folder = built(f"ollama-{version}"), tmp_path_factory.mktemp(f"admission-{version}")
            with ollama(build, folder, {}) as server:
                made[version] = Engine(version, build, fill(server, folder, files))
        return made[version]

    return find


CASES = [
    pytest.param(version, scenario, id=f"{version}: {scenario.name}")
    for version in VERSIONS
    for scenario in SCENARIOS
    if version in scenario.versions
]


@pytest.mark.parametrize(("version", "scenario"), CASES)
def test_the_replay_says_what_happens(version: str, scenario: Scenario, engine: Callable[[str], Engine]) -> None:
    found = engine(version)
    with ollama(found.build, found.store.folder, scenario.settings) as server:
        real = play(server, found.store, scenario)
    assert real.events == scenario.expected(version)
    assert set(real.left) == set(scenario.left)
    assert in_words(replayed(found.store, scenario, version)) == real


@pytest.mark.parametrize("version", VERSIONS)
def test_a_restart_forgets_what_was_loaded_for_ever(version: str, engine: Callable[[str], Engine]) -> None:
    found = engine(version)
    with ollama(found.build, found.store.folder, {}) as server:
        server.ask("/api/generate", {"model": "first", "keep_alive": FOREVER, "stream": False})
        assert list(residents(server)) == ["first"]
    with ollama(found.build, found.store.folder, {}) as server:
        assert residents(server) == {}
