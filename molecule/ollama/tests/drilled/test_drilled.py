"""The resident set comes back by itself, whoever took it away, and the watchdog notes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests import ollama_hosts as lab

# One period of the timer, the second that it may be late, and a load on a machine with a neighbour.
BACK_S = lab.PERIOD_S + 1 + 15
# A model of the registry that each host has no plan for.
GUESTS = {"larch": "library/hazel:latest", "rowan": "lab/alder:tiny"}


@pytest.fixture
def whole_set(host: Any) -> Iterator[None]:
    """Every drill begins with the whole set, and ends with it."""
    assert lab.wait(lambda: lab.is_resident(lab.name_of(host)))
    yield
    assert lab.wait(lambda: lab.is_resident(lab.name_of(host)))


class Watched:
    """What the watchdog notes from now on."""

    def __init__(self, host: Any) -> None:
        self.host, self.count = host, len(lab.events(host))

    def says(self, kind: str, model: str | None = None) -> bool:
        """Whether it comes to say so within one period."""
        return lab.wait(
            lambda: any((event["kind"], event["model"]) == (kind, model) for event in lab.events(self.host)[self.count :]), BACK_S
        )


@pytest.fixture
def watched(host: Any, whole_set: None) -> Watched:
    return Watched(host)


def metric(host: Any, name: str, model: str = "") -> float:
    """A sample as Prometheus' collector would read it."""
    start = f'homelab_llm_{name}{{model="{model}"}}' if model else f"homelab_llm_{name}"
    lines = host.file(lab.TEXTFILE).content_string.splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{start} "))


def test_a_restart_ends_with_the_same_set(host: Any, watched: Watched) -> None:
    """Without anybody calling anything."""
    before = lab.identity(host)
    host.check_output("systemctl restart %s.service", lab.UNIT)
    assert lab.identity(host) != before
    assert lab.wait(lambda: lab.is_resident(lab.name_of(host)), BACK_S)
    assert watched.says("engine_restarted")


def test_a_killed_engine_comes_back_with_its_set(host: Any, watched: Watched) -> None:
    before, restarts = lab.identity(host), metric(host, "engine_restarts_total")
    host.check_output("kill -9 %s", lab.main_process(host))
    assert lab.wait(lambda: lab.identity(host) != before and lab.is_resident(lab.name_of(host)), BACK_S)
    assert watched.says("engine_restarted")
    assert metric(host, "engine_restarts_total") == restarts + 1


def test_a_model_that_a_client_unloads_is_back_within_a_period(host: Any, watched: Watched) -> None:
    """One request with keep_alive 0 is enough to lose a pinned model."""
    name = lab.name_of(host)
    model = lab.residents(name)[0].name
    evictions, loads = metric(host, "model_evictions_total", model), metric(host, "model_loads_total", model)
    lab.call(name, "/api/generate", {"model": model, "keep_alive": 0, "stream": False})
    left = time.monotonic()
    assert lab.wait(lambda: model not in lab.loaded(name), lab.PERIOD_S)
    assert lab.wait(lambda: lab.is_resident(name), BACK_S)
    print(f"{model} was back after {time.monotonic() - left:.1f} s")
    assert watched.says("evicted", model)
    assert watched.says("loaded", model)
    assert metric(host, "model_evictions_total", model) == evictions + 1
    assert metric(host, "model_loads_total", model) == loads + 1


def test_a_model_that_a_guest_displaces_is_back_within_a_period(host: Any, watched: Watched) -> None:
    """As many are in memory as are planned, so a client who has another one loaded has one evicted."""
    name = lab.name_of(host)
    planned = {resident.name for resident in lab.residents(name)}
    guest = f"{lab.servers()['registry']}/{GUESTS[name]}"
    assert lab.call(name, "/api/pull", {"model": guest, "insecure": True, "stream": False}) == {"status": "success"}
    lab.call(name, "/api/generate", {"model": guest, "keep_alive": 300, "stream": False})
    gone = lab.planned_name(*planned - set(lab.loaded(name)))
    assert lab.wait(lambda: lab.is_resident(name), BACK_S)
    assert watched.says("evicted", gone)
    assert watched.says("loaded", gone)


def test_a_model_that_a_client_reloads_has_its_context_again(host: Any, watched: Watched) -> None:
    """A request that asks for another context takes the planned one, and the model's place in memory, away."""
    name = lab.name_of(host)
    model = lab.residents(name)[0].name
    body = {"model": model, "prompt": "Hello", "options": {"num_ctx": 2048, "num_predict": 1}, "stream": False}
    lab.call(name, "/api/generate", body)
    assert lab.loaded(name)[model]["context_length"] == 2048
    assert lab.wait(lambda: lab.is_resident(name), BACK_S)
    assert watched.says("context", model)


def test_remember_what_was_fetched_for_the_plan() -> None:
    """The guests came from the registry too; from here on nothing planned does."""
    lab.record(planned_bytes=lab.planned_bytes())
