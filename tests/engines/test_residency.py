"""Residency against real Ollamas: what is planned is loaded in order, stays, comes back, and is told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plugins.module_utils.engine import engine_receipt, engine_settings, serving_process
from plugins.module_utils.residency_watchdog import main
from plugins.module_utils.resident_engine import ResidentEngine
from plugins.module_utils.resident_loading import reach
from plugins.module_utils.resident_set import Expected, findings, replaced
from plugins.module_utils.server_settings import settings_findings
from tests.engines.conftest import built
from tests.engines.play import STARTED, residents
from tests.engines.scenarios import VERSIONS
from tests.engines.servers import Server, blob_of, create, ollama
from tests.engines.small_models import bert, llama, small_shape

pytestmark = pytest.mark.engines
PLANNED = [
    {"name": "middle", "context_tokens": 1024, "load_order": 2},
    {"name": "homelab/first:ctx2048", "context_tokens": 2048, "load_order": 1},
    {"name": "encoder", "mode": "embedding", "context_tokens": 1024, "load_order": 3},
]
NAMES = {"homelab/first:ctx2048", "middle", "encoder"}
SETTINGS = {
    "OLLAMA_KEEP_ALIVE": "-1",
    "OLLAMA_CONTEXT_LENGTH": "1024",
    "OLLAMA_MAX_LOADED_MODELS": "3",
    "OLLAMA_SCHED_SPREAD": "1",
}
GONE_S = 20.0


@dataclass
class Lab:
    """A store with the planned models and a foreign one, and a watchdog's files beside it."""

    build: Path
    folder: Path

    def watchdog(self, server: Server) -> list[str]:
        """One run; the kinds of what it saw and did, with the model's name."""
        path, events = self.folder / "watchdog.json", self.folder / "state" / "events.jsonl"
        given = {"url": server.url, "models": PLANNED, "state_directory": str(self.folder / "state"), "load_timeout_s": 60}
        path.write_text(json.dumps(given))
        known = len(events.read_text().splitlines()) if events.exists() else 0
        assert main(["--configuration", str(path)]) == 0
        lines = events.read_text().splitlines()[known:] if events.exists() else []
        return [f"{entry['kind']} {entry['model']}" for entry in map(json.loads, lines)]

    def seen(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / "state" / "residency.json").read_text())
        return document


@pytest.fixture(scope="module", params=VERSIONS)
def lab(request: pytest.FixtureRequest, files: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp(f"residency-{request.param}")
    found = Lab(built(f"ollama-{request.param}"), folder)
    with ollama(found.build, folder, {}) as server:
        for name in ("base", "middle", "foreign"):
            create(server, folder, name, llama(f"resident-{name}", small_shape()).write(files))
        create(server, folder, "encoder", bert().write(files))
        wanted = {"model": "homelab/first:ctx2048", "from": "base", "parameters": {"num_ctx": 2048}, "stream": False}
        server.ask("/api/create", wanted)
    return found


@pytest.fixture(scope="module")
def server(lab: Lab) -> Iterator[Server]:
    """One for the tests that need no start of their own; each begins with the set resident."""
    with ollama(lab.build, lab.folder, SETTINGS) as running:
        yield running


def planned() -> list[Expected]:
    return sorted((Expected(**item) for item in PLANNED), key=lambda model: model.load_order)


def reached(server: Server) -> list[str]:
    """Bring the engine to the set; what was asked for."""
    engine = ResidentEngine(server.url, 60)
    outcome = reach(engine, planned(), engine.look())
    assert [str(finding) for finding in outcome.findings] == []
    return outcome.loaded


def await_gone(server: Server, name: str) -> None:
    ends = time.monotonic() + GONE_S
    while name in residents(server) and time.monotonic() < ends:
        time.sleep(0.1)
    assert name not in residents(server)


def test_what_is_missing_is_loaded_in_the_order_of_the_plan(lab: Lab) -> None:
    with ollama(lab.build, lab.folder, SETTINGS) as server:
        # The same file with the same context under another name is not what is planned.
        server.ask("/api/generate", {"model": "base", "stream": False, "keep_alive": -1, "options": {"num_ctx": 2048}})
        read = len(server.lines())
        assert reached(server) == [model.name for model in planned()]
        blobs = [found[1] for line in server.lines()[read:] if (found := STARTED.search(line))]
        assert blobs[-3:] == [blob_of(lab.folder, name) for name in ("base", "middle", "encoder")]
        found = residents(server)
        assert reached(server) == []
    assert {name: entry["context_length"] for name, entry in found.items()} == {
        "homelab/first:ctx2048": 2048,
        "middle": 1024,
        # It was trained with 512 tokens, and has no more.
        "encoder": 512,
    }
    assert all(entry["expires_at"] > "2100" for entry in found.values())


CHANGES: list[tuple[str, dict[str, Any], bool]] = [
    ("middle", {"options": {"num_ctx": 512}, "keep_alive": "5m"}, True),
    ("homelab/first:ctx2048", {"options": {"num_ctx": 512}, "keep_alive": -1}, True),
    ("middle", {"keep_alive": "5m"}, False),
]


@pytest.mark.parametrize(("name", "body", "loads"), CHANGES, ids=["context and keep-alive", "context", "keep-alive"])
def test_what_a_client_changed_is_put_right(name: str, body: dict[str, Any], loads: bool, server: Server) -> None:
    reached(server)
    server.ask("/api/generate", {"model": name, "stream": False, **body})
    assert [finding.model for finding in findings(planned(), ResidentEngine(server.url).look())] != []
    read = len(server.lines())
    assert reached(server) == [name]
    # A keep-alive is put right without loading the model again.
    assert any(STARTED.search(line) for line in server.lines()[read:]) is loads


def test_an_evicted_model_comes_back_and_the_watchdog_tells(lab: Lab, server: Server) -> None:
    lab.watchdog(server)
    before = lab.seen()["counters"]["evictions"]
    server.ask("/api/generate", {"model": "foreign", "stream": False, "keep_alive": "5m"})
    (lost,) = NAMES - set(residents(server))
    events = lab.watchdog(server)
    assert events[0] == f"evicted {lost}"
    assert events[-1].startswith("loaded ")
    assert set(residents(server)) >= NAMES
    assert (lab.seen()["counters"]["evictions"], lab.seen()["findings"]) == (before + 1, [])


def test_an_embedding_model_that_was_unloaded_comes_back(lab: Lab, server: Server) -> None:
    lab.watchdog(server)
    ResidentEngine(server.url, 60).unload("encoder", residents(server)["encoder"]["digest"])
    await_gone(server, "encoder")
    assert lab.watchdog(server) == ["evicted encoder", "loaded encoder"]
    assert server.ask("/api/embed", {"model": "encoder", "input": "a"})["embeddings"]


def test_after_a_restart_the_set_comes_back_and_no_eviction_is_counted(lab: Lab) -> None:
    with ollama(lab.build, lab.folder, SETTINGS) as first:
        lab.watchdog(first)
        before = lab.seen()["counters"]
    assert lab.watchdog(first) == ["engine_down None"]
    with ollama(lab.build, lab.folder, SETTINGS) as second:
        events = lab.watchdog(second)
        assert set(residents(second)) == NAMES
    assert events[0] == "engine_restarted None"
    assert [event for event in events if event.startswith("loaded")] == [f"loaded {model.name}" for model in planned()]
    after = lab.seen()["counters"]
    assert (after["engine_restarts"], after["evictions"]) == (before["engine_restarts"] + 1, before["evictions"])


def test_a_model_that_was_replaced_while_it_was_loaded_is_told(lab: Lab) -> None:
    with ollama(lab.build, lab.folder, {**SETTINGS, "OLLAMA_MAX_LOADED_MODELS": "4"}) as server:
        server.ask("/api/copy", {"source": "base", "destination": "changing"})
        changing = [Expected("changing")]
        engine = ResidentEngine(server.url, 60)
        assert reach(engine, changing, engine.look()).findings == []
        server.ask("/api/copy", {"source": "middle", "destination": "changing"})
        receipt = engine.look()
        assert (replaced(changing, receipt), [item.kind for item in findings(changing, receipt)]) == (["changing"], ["digest"])
        outcome = reach(engine, changing, receipt)
        assert [item.kind for item in outcome.findings] == ["twice"]
        server.ask("/api/delete", {"model": "changing"}, "DELETE")


def test_a_set_that_does_not_fit_ends_with_findings(lab: Lab) -> None:
    with ollama(lab.build, lab.folder, {**SETTINGS, "OLLAMA_MAX_LOADED_MODELS": "2"}) as server:
        engine = ResidentEngine(server.url, 60)
        outcome = reach(engine, planned(), engine.look())
        assert len(residents(server)) == 2
    assert [finding.kind for finding in outcome.findings] == ["missing"]
    assert "although it was loaded, also in the order of the plan" in outcome.findings[0].text


def test_a_running_server_tells_its_settings(server: Server) -> None:
    found = engine_settings(serving_process(server.url), None, str(server.log))
    assert found["environment"]["OLLAMA_KEEP_ALIVE"] == "-1"
    assert found["effective"]["OLLAMA_KEEP_ALIVE"] == "2562047h47m16.854775807s"
    assert settings_findings(SETTINGS, **found) == []
    wrong = settings_findings({**SETTINGS, "OLLAMA_CONTEXT_LENGTH": "4096", "LLAMA_ARG_CACHE_RAM": "512"}, **found)
    assert [text.split(",")[0] for text in wrong] == [
        "OLLAMA_CONTEXT_LENGTH is 1024 in the running server",
        "LLAMA_ARG_CACHE_RAM is not set in the running server",
    ]


def test_the_receipt_lists_the_store(server: Server) -> None:
    receipt = engine_receipt("ollama", server.url, "foreign")
    assert receipt["resident"] is False
    assert {item["name"].removesuffix(":latest") for item in receipt["installed"]} == {*NAMES, "base", "foreign"}
    assert all(item["digest"] and item["size_bytes"] and item["family"] for item in receipt["installed"])
