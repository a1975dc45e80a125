"""What may happen to models that are loaded one after the other, and asked afterwards: the cases in which Ollama evicts,
restarts or forgets.

Models are named by their place in the alphabet of their blobs' digests, because that is how the scheduler breaks a tie:
`first` has the smallest digest, `fourth` the largest. `events` is what a real engine does, after every step in order.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSIONS = ("0.33.0", "0.24.0")
FOREVER = -1
DEFAULT_S = 300
PLACES = ("first", "second", "third", "fourth")
# An encoder with a training context of 512 tokens, a model with a state beside its cache, one trained with 2048 tokens, one
# with a large cache.
ENCODER, HYBRID, SHORT, WIDE, HUGE = "encoder", "hybrid", "short", "wide", "huge"
# `huge` is asked with its whole training context, and one sequence of that is more than a GiB: so many are beyond the memory.
BEYOND = str(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**30 * 2)


@dataclass(frozen=True)
class Named:
    """A model of the engine's store: whose weights it has, and what its Modelfile sets."""

    name: str
    weights: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One request; without a prompt it only loads."""

    name: str
    keep_alive: int | None = None
    prompt: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def step(name: str, keep_alive: int | None = None, prompt: str = "", **options: Any) -> Step:
    return Step(name, keep_alive, prompt, options)


@dataclass(frozen=True)
class Left:
    """A model that is loaded at the end: its context of one sequence, how many sequences, how long it stays when idle."""

    name: str
    context_tokens: int = 4096
    parallel: int = 1
    keep_alive_s: int = DEFAULT_S


@dataclass(frozen=True)
class Scenario:
    """`loads` come first, each by its own keep-alive; then `steps`. `events` and `left` are what must come of it.

    `events_0_24`: what comes of it in v0.24 where that differs.
    """

    name: str
    loads: tuple[Step, ...]
    events: tuple[tuple[str, str], ...]
    left: tuple[Left, ...]
    steps: tuple[Step, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    versions: tuple[str, ...] = VERSIONS
    events_0_24: tuple[tuple[str, str], ...] | None = None

    def expected(self, version: str) -> tuple[tuple[str, str], ...]:
        return self.events_0_24 if version == "0.24.0" and self.events_0_24 is not None else self.events


# Names of one blob with other parameters, beside a model of each weights under the weights' own name.
ALIASES = (
    Named("first-2k", "first", {"num_ctx": 2048}),
    Named("first-8k", "first", {"num_ctx": 8192}),
    Named(HUGE, WIDE, {"num_ctx": 131072}),
)


def loads(*names: str, keep_alive: int | None = None) -> tuple[Step, ...]:
    return tuple(step(name, keep_alive) for name in names)


def loaded(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple(("loads", name) for name in names)


def left(*names: str, keep_alive_s: int = DEFAULT_S) -> tuple[Left, ...]:
    return tuple(Left(name, keep_alive_s=keep_alive_s) for name in names)


SCENARIOS = (
    Scenario(
        "three fit under the default cap and the fourth evicts the smallest digest, whoever was loaded last",
        loads("third", "second", "first", "fourth"),
        (*loaded("third", "second", "first"), ("evicts", "first"), ("loads", "fourth")),
        left("second", "third", "fourth"),
    ),
    Scenario(
        "a cap that is set holds instead of the default",
        loads("first", "second", "third", "fourth"),
        loaded("first", "second", "third", "fourth"),
        left("first", "second", "third", "fourth"),
        settings={"OLLAMA_MAX_LOADED_MODELS": "4"},
    ),
    Scenario(
        "with a cap of one every model evicts the one before",
        loads("second", "first", "third"),
        (("loads", "second"), ("evicts", "second"), ("loads", "first"), ("evicts", "first"), ("loads", "third")),
        left("third"),
        settings={"OLLAMA_MAX_LOADED_MODELS": "1"},
    ),
    Scenario(
        "the shortest keep-alive goes first, whatever its digest",
        (
            step("first", keep_alive=FOREVER),
            step("second", keep_alive=FOREVER),
            step("third", keep_alive=60),
            step("fourth", keep_alive=FOREVER),
        ),
        (*loaded("first", "second", "third"), ("evicts", "third"), ("loads", "fourth")),
        left("first", "second", "fourth", keep_alive_s=FOREVER),
    ),
    Scenario(
        "a keep-alive without end protects nobody from the cap",
        loads("second", "third", "first", "fourth", keep_alive=FOREVER),
        (*loaded("second", "third", "first"), ("evicts", "first"), ("loads", "fourth")),
        left("second", "third", "fourth", keep_alive_s=FOREVER),
    ),
    Scenario(
        "the server's keep-alive is everybody's",
        loads("second", "first", "third"),
        (*loaded("second", "first"), ("evicts", "first"), ("loads", "third")),
        left("second", "third", keep_alive_s=FOREVER),
        settings={"OLLAMA_MAX_LOADED_MODELS": "2", "OLLAMA_KEEP_ALIVE": "-1"},
    ),
    Scenario(
        "another order of loads leaves another set",
        loads("fourth", "third", "second", "first", keep_alive=FOREVER),
        (*loaded("fourth", "third"), ("evicts", "third"), ("loads", "second"), ("evicts", "second"), ("loads", "first")),
        left("first", "fourth", keep_alive_s=FOREVER),
        settings={"OLLAMA_MAX_LOADED_MODELS": "2"},
    ),
    Scenario(
        "a request with another context restarts the model, a smaller one as well",
        loads("first", keep_alive=FOREVER),
        (("loads", "first"), ("reloads", "first"), ("loads", "first"), ("reloads", "first"), ("loads", "first")),
        (Left("first", 2048, keep_alive_s=FOREVER),),
        steps=(step("first", FOREVER, num_ctx=8192), step("first", FOREVER, num_ctx=2048)),
    ),
    Scenario(
        "a restart loses the keep-alive that only the load had asked for",
        loads("first", "second", keep_alive=FOREVER),
        (*loaded("first", "second"), ("reloads", "second"), ("loads", "second")),
        (Left("first", keep_alive_s=FOREVER), Left("second", 8192)),
        steps=(step("second", num_ctx=8192),),
    ),
    Scenario(
        "an explicit context that is the loaded one changes nothing",
        loads("first", keep_alive=FOREVER),
        (("loads", "first"), ("reuses", "first"), ("reuses", "first")),
        left("first", keep_alive_s=FOREVER),
        steps=(step("first", num_ctx=4096), step("first")),
    ),
    Scenario(
        "a context beyond the training context is the training context",
        loads("short"),
        (("loads", "short"), ("reuses", "short"), ("reuses", "short")),
        (Left("short", 2048),),
        steps=(step("short", num_ctx=2048), step("short", num_ctx=16384)),
        settings={"OLLAMA_CONTEXT_LENGTH": "8192"},
        # It compares what was asked, not what the runner got.
        events_0_24=(("loads", "short"), ("reloads", "short"), ("loads", "short"), ("reloads", "short"), ("loads", "short")),
    ),
    Scenario(
        "an automatic context beyond the training context is the training context as well",
        loads("short"),
        (("loads", "short"), ("reuses", "short"), ("reuses", "short")),
        (Left("short", 2048),),
        steps=(step("short", num_ctx=2048), step("short", num_ctx=2048)),
        events_0_24=(("loads", "short"), ("reloads", "short"), ("loads", "short"), ("reuses", "short")),
    ),
    Scenario(
        "another batch, another number of threads or of layers on the GPU restarts the model",
        loads("first"),
        (("loads", "first"), *(("reloads", "first"), ("loads", "first")) * 3, ("reuses", "first")),
        left("first"),
        steps=(step("first", num_batch=256), step("first", num_thread=1), step("first", num_gpu=1), step("first", num_gpu=1)),
    ),
    Scenario(
        "an encoder's batch follows its context, so that another context restarts it",
        loads("encoder"),
        (("loads", "encoder"), ("reloads", "encoder"), ("loads", "encoder"), ("reloads", "encoder"), ("loads", "encoder")),
        (Left("encoder", 512),),
        steps=(step("encoder", num_ctx=512), step("encoder", num_ctx=2048)),
    ),
    Scenario(
        "two names of one blob with other contexts restart it each time, and there is one of it",
        loads("first-2k", "first-8k", keep_alive=FOREVER),
        (
            ("loads", "first-2k"),
            ("reloads", "first-2k"),
            ("loads", "first-8k"),
            ("reloads", "first-8k"),
            ("loads", "first-2k"),
            ("reuses", "first-2k"),
        ),
        (Left("first-2k", 2048),),
        steps=(step("first-2k"), step("first-2k")),
    ),
    Scenario(
        "two names of one blob that agree share its runner",
        loads("first", "first-2k"),
        (("loads", "first"), ("reuses", "first-2k")),
        (Left("first", 2048),),
        settings={"OLLAMA_CONTEXT_LENGTH": "2048"},
    ),
    Scenario(
        "a keep-alive of zero unloads after the answer, whatever it was before",
        loads("first", "second", keep_alive=FOREVER),
        (*loaded("first", "second"), ("reuses", "first"), ("unloads", "first")),
        left("second", keep_alive_s=FOREVER),
        steps=(step("first", keep_alive=0, prompt="the"),),
    ),
    Scenario(
        "a later request's keep-alive replaces the model's, one without leaves it",
        loads("first", "second", keep_alive=FOREVER),
        (*loaded("first", "second"), ("reuses", "first"), ("reuses", "second")),
        (Left("first", keep_alive_s=900), Left("second", keep_alive_s=FOREVER)),
        steps=(step("first", keep_alive=900), step("second")),
    ),
    Scenario(
        "request over Modelfile over server for the context",
        loads("second", "first-2k"),
        (*loaded("second", "first-2k"), ("reloads", "first-2k"), ("loads", "first-2k")),
        (Left("second", 8192), Left("first-2k", 1024)),
        steps=(step("first-2k", num_ctx=1024),),
        settings={"OLLAMA_CONTEXT_LENGTH": "8192"},
    ),
    Scenario(
        "several sequences at once where the model can, one for encoders and families with a state",
        loads("first", "encoder", "hybrid"),
        loaded("first", "encoder", "hybrid"),
        (Left("first", parallel=3), Left("encoder", 512), Left("hybrid")),
        settings={"OLLAMA_NUM_PARALLEL": "3"},
    ),
    Scenario(
        "a model beyond the host's memory evicts everybody and is refused all the same",
        loads("first", "second", "huge"),
        (*loaded("first", "second"), ("evicts", "first"), ("evicts", "second"), ("refused", "huge")),
        (),
        settings={"OLLAMA_NUM_PARALLEL": BEYOND},
        # v0.33 makes no such check on a CPU and would take what it can get.
        versions=("0.24.0",),
    ),
)
