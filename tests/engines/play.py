"""Plays a scenario on a real Ollama and tells what happened, in the words of the replay."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plugins.module_utils.engine_memory import load_reports
from tests.engines.scenarios import ALIASES, ENCODER, FOREVER, HYBRID, PLACES, SHORT, WIDE, Left, Named, Scenario, Step
from tests.engines.servers import EngineError, Server, blob_of, create
from tests.engines.small_models import SmallModel, bert, lfm2, llama, phi3, small_shape

# A runner of either engine, with the file that it is to load.
STARTED = re.compile(r'msg="starting (?:llama-server|runner)" cmd=.*?--model \S*(sha256-[0-9a-f]{64})')

# A model that leaves, in the order in which they do.
ENDED = re.compile(r'msg="runner terminated and removed from list.*(sha256-[0-9a-f]{64})')
GONE_S = 10.0


@dataclass(frozen=True)
class Store:
    """Models that an engine has: which of them has which blob, and the file that each was made from."""

    folder: Path
    blobs: dict[str, str]
    files: dict[str, Path]

    def aliases(self) -> tuple[Named, ...]:
        return tuple(Named(name, name) for name in (*PLACES, ENCODER, HYBRID, SHORT, WIDE)) + ALIASES


@dataclass(frozen=True)
class Played:
    events: tuple[tuple[str, str], ...]
    left: tuple[Left, ...]


def weights() -> list[SmallModel]:
    return [llama(f"tiny-{number}", small_shape()) for number in range(len(PLACES))]


def fill(server: Server, folder: Path, files: Path) -> Store:
    """Create the models of all scenarios; who is called `first` is known when the engine has stored them."""
    made = {model.name: model.write(files) for model in weights()}
    for name, path in made.items():
        create(server, folder, name, path)
    sorted_names = sorted(made, key=lambda name: blob_of(folder, name))
    paths = {place: made[name] for place, name in zip(PLACES, sorted_names, strict=True)}
    others = {ENCODER: bert(), HYBRID: lfm2(), SHORT: llama("tiny-short", small_shape(2048)), WIDE: phi3()}
    paths |= {name: model.write(files) for name, model in others.items()}
    for name in others:
        create(server, folder, name, paths[name])
    for place, name in zip(PLACES, sorted_names, strict=True):
        server.ask("/api/copy", {"source": name, "destination": place})
    for alias in ALIASES:
        wanted = {"model": alias.name, "from": alias.weights, "parameters": dict(alias.parameters), "stream": False}
        server.ask("/api/create", wanted)
    names = [*paths, *(alias.name for alias in ALIASES)]
    return Store(folder, {name: blob_of(folder, name) for name in names}, paths)


def residents(server: Server) -> dict[str, dict[str, Any]]:
    """What is loaded, by the name that loaded it."""
    return {str(entry["name"]).removesuffix(":latest"): entry for entry in server.ask("/api/ps")["models"]}


def ask(server: Server, step: Step) -> bool:
    """Send the request; whether it was refused for want of memory."""
    body: dict[str, Any] = {"model": step.name, "stream": False}
    if step.keep_alive is not None:
        body["keep_alive"] = step.keep_alive
    options = dict(step.options)
    if step.prompt:
        body, options = {**body, "prompt": step.prompt}, {**options, "num_predict": 1}
    try:
        server.ask("/api/embed" if step.name == ENCODER else "/api/generate", {**body, "options": options})
    except EngineError as error:
        if "requires more system memory" not in str(error):
            raise
        return True
    return False


def found(pattern: re.Pattern[str], lines: list[str]) -> list[str]:
    """The blobs of the lines of a kind."""
    return [match[1] for line in lines if (match := pattern.search(line))]


def events_of(server: Server, store: Store, step: Step) -> Iterator[tuple[str, str]]:
    """One request and what it did to the residents."""
    blob, before, read = store.blobs[step.name], residents(server), len(server.lines())
    refused = ask(server, step)
    if step.keep_alive == 0:
        wait_until_gone(server, store, blob)
    after, lines = residents(server), server.lines()[read:]
    starts, ends = found(STARTED, lines), found(ENDED, lines)
    was = next((name for name in before if store.blobs[name] == blob), None)
    if was and blob in starts:
        yield "reloads", was
    gone = [name for name in before if name not in after and store.blobs[name] != blob]
    yield from (("evicts", name) for name in sorted(gone, key=lambda name: ends.index(store.blobs[name])))
    yield ("refused" if refused else "loads" if blob in starts else "reuses"), step.name
    if not refused and not any(store.blobs[name] == blob for name in after):
        yield "unloads", was or step.name


def wait_until_gone(server: Server, store: Store, blob: str) -> None:
    """The answer comes before the model goes."""
    ends = time.monotonic() + GONE_S
    while time.monotonic() < ends and any(store.blobs[name] == blob for name in residents(server)):
        time.sleep(0.1)


def play(server: Server, store: Store, scenario: Scenario) -> Played:
    events = [event for step in (*scenario.loads, *scenario.steps) for event in events_of(server, store, step)]
    parallel = {str(report.model_path).rpartition("/")[2]: report.parallel or 1 for report in load_reports(server.lines())}
    loaded = residents(server)
    left = [
        Left(name, entry["context_length"], parallel[store.blobs[name]], keep_alive_s(entry["expires_at"]))
        for name, entry in sorted(loaded.items())
    ]
    return Played(tuple(events), tuple(left))


def keep_alive_s(expires_at: str) -> int:
    """Seconds that an idle model has left, in the steps that the scenarios know; the engine has nanoseconds."""
    year = int(expires_at[:4])
    if year > datetime.now(UTC).year + 10:
        return FOREVER
    ends = datetime.fromisoformat(re.sub(r"\.\d+", "", expires_at))
    seconds = (ends - datetime.now(UTC)).total_seconds()
    return min((60, 300, 900), key=lambda step: abs(step - seconds))
