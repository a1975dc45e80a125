"""What is asked of an engine, once really and once in the replay: models, settings, requests, and on what devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plugins.plugin_utils.admission import (
    Accelerator,
    Candidate,
    EngineHost,
    Footprint,
    Request,
    RunnerOptions,
    ServerSettings,
    shape_from_header,
)
from tests.engines.ollama_lab import StoredModel, header, tiny_llama

GIB = 2**30
OLD, NEW = "measured layout", "eighty percent"
BOTH = (OLD, NEW)

# 128 KiB of cache per token: 512 MiB at 4,096.
LLAMA = {
    "block_count": 32,
    "embedding_length": 4096,
    "context_length": 131072,
    "attention.head_count": 32,
    "attention.head_count_kv": 8,
}
# Really a sliding window; the engine counts 170 KiB per token, 5,440 MiB at 32,768.
GEMMA = {
    "block_count": 34,
    "embedding_length": 2560,
    "context_length": 131072,
    "attention.head_count": 8,
    "attention.head_count_kv": 4,
}
LATENT = {
    "block_count": 27,
    "embedding_length": 2048,
    "context_length": 163840,
    "attention.head_count": 16,
    "attention.head_count_kv": 1,
}
ENCODER = {"block_count": 12, "embedding_length": 768, "context_length": 512, "attention.head_count": 12, "pooling_type": 1}


@dataclass(frozen=True)
class Scenario:
    """``devices``: MiB of each simulated device; None: the engine's own runner on this machine's CPU."""

    name: str
    families: tuple[str, ...]
    models: tuple[StoredModel, ...]
    requests: tuple[Request, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[float, ...] | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def simulated(self) -> list[dict[str, Any]] | None:
        if self.devices is None:
            return None
        return [{"total_mib": size, "free_mib": size, "compute": "8.6"} for size in self.devices]

    @property
    def host(self) -> EngineHost:
        if self.devices is None:
            available, swap = meminfo("MemAvailable"), meminfo("SwapFree")
            return EngineHost((), ram_free_mib=available / 1024, swap_free_mib=swap / 1024)
        return EngineHost(tuple(Accelerator(f"gpu{index}", "cuda", size) for index, size in enumerate(self.devices)))

    @property
    def settings(self) -> ServerSettings:
        said = {key.removeprefix("OLLAMA_").lower(): value for key, value in self.environment.items()}
        numbers = {key: int(said[key]) for key in ("max_loaded_models", "num_parallel", "context_length") if key in said}
        return ServerSettings(keep_alive=said.get("keep_alive"), sched_spread=said.get("sched_spread") == "1", **numbers)

    @property
    def candidates(self) -> dict[str, Candidate]:
        return {model.name: candidate(model) for model in self.models}


def meminfo(key: str) -> int:
    """KiB of a line of /proc/meminfo."""
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def candidate(model: StoredModel) -> Candidate:
    real = Footprint(model.device_mib, process_mib=model.process_mib, unseen_mib=model.unseen_mib) if model.device_mib else None
    return Candidate(
        model.name,
        model.file_bytes,
        shape_from_header(model.metadata),
        blob_digest=model.digest,
        is_embedding=f"{model.architecture}.pooling_type" in model.metadata,
        options=RunnerOptions(**model.parameters),
        real=real,
    )


def tiny(name: str, blob: str | None = None, context_length: int = 8192, **parameters: int) -> StoredModel:
    """A model that really loads."""
    metadata, tensors = tiny_llama(context_length)
    return StoredModel(name, metadata, header(metadata, tensors)[1], blob or name, tensors, parameters)


def sized(
    name: str, file_gib: float, real_gib: float, shape: Mapping[str, int] = LLAMA, architecture: str = "llama", **parameters: int
) -> StoredModel:
    """A model of which only the header is there, for the stand-in."""
    metadata = {"general.architecture": architecture, **{f"{architecture}.{key}": value for key, value in shape.items()}}
    return StoredModel(name, metadata, round(file_gib * GIB), name, None, parameters, real_gib * 1024)


def load(*names: str, **more: Any) -> tuple[Request, ...]:
    return tuple(Request(name, empty=True, **more) for name in names)


def ask(name: str, keep_alive: float | None = None, **options: int) -> Request:
    return Request(name, RunnerOptions(**options), keep_alive, empty=True)


FOREVER = {"OLLAMA_KEEP_ALIVE": "-1"}
SETTLED = {**FOREVER, "OLLAMA_MAX_LOADED_MODELS": "8", "OLLAMA_CONTEXT_LENGTH": "4096"}
LONG = {**SETTLED, "OLLAMA_CONTEXT_LENGTH": "32768"}
A, B, C, D = (tiny(name) for name in "abcd")
CARD, CARDS = (24576,), (22938, 22938)

ON_THE_CPU: Sequence[Scenario] = (
    Scenario("three models are the default, the first digest leaves", BOTH, (A, B, C, D), load("a", "b", "c", "d"), FOREVER),
    Scenario("a count of two", BOTH, (A, B, C), load("a", "b", "c"), {**FOREVER, "OLLAMA_MAX_LOADED_MODELS": "2"}),
    Scenario(
        "a count of four keeps four", BOTH, (A, B, C, D), load("a", "b", "c", "d"), {**FOREVER, "OLLAMA_MAX_LOADED_MODELS": "4"}
    ),
    Scenario("the shortest keep-alive leaves first", BOTH, (A, B, C, D), (ask("a"), ask("b", 3600), ask("c"), ask("d")), FOREVER),
    Scenario(
        "another context restarts, the same does not",
        BOTH,
        (A,),
        (ask("a"), ask("a", num_ctx=2048), ask("a", num_ctx=2048)),
        FOREVER,
    ),
    Scenario("a restart loses the keep-alive of the load", BOTH, (A,), (ask("a", -1), ask("a", num_ctx=2048)), {}),
    Scenario("what the engine chose may be named", BOTH, (A,), (ask("a"), ask("a", num_ctx=4096)), FOREVER),
    Scenario("contexts above the training context", BOTH, (A,), (ask("a", num_ctx=9000), ask("a", num_ctx=8192)), FOREVER),
    Scenario("two names share a blob", BOTH, (A, tiny("e", "a")), load("a", "e", "a"), FOREVER),
    Scenario("two names quarrel about a blob", BOTH, (A, tiny("e", "a", num_ctx=2048)), load("a", "e", "a"), FOREVER),
    Scenario("a keep-alive of zero unloads", BOTH, (A, B), (*load("a", "b"), ask("a", 0)), FOREVER),
    Scenario("a derived model has its own context", BOTH, (A, tiny("f", "f", num_ctx=1024)), load("a", "f", "a", "f"), FOREVER),
    Scenario(
        "a server's context and four sequences",
        BOTH,
        (A,),
        load("a"),
        {"OLLAMA_CONTEXT_LENGTH": "2048", "OLLAMA_NUM_PARALLEL": "4"},
    ),
    Scenario("another number of layers restarts", BOTH, (A,), (ask("a"), ask("a", num_gpu=0), ask("a")), FOREVER),
    # 2 layers x 2 heads x (16 + 16) x 2 bytes = 256 bytes per token: 2^28 tokens are 64 GiB
    Scenario(
        "more than the RAM evicts and is refused before 0.30",
        (OLD,),
        (A, tiny("g", context_length=2**30)),
        (ask("a"), ask("g", num_ctx=2**28)),
        FOREVER,
    ),
)

SMALL = tuple(sized(name, 1, 1.5) for name in "abcd")
ON_DEVICES: Sequence[Scenario] = (
    Scenario("four small models on one device", (NEW,), SMALL, load("a", "b", "c", "d"), FOREVER, CARD),
    Scenario("six on two devices", (NEW,), (*SMALL, sized("e", 1, 1.5)), load("a", "b", "c", "d", "e"), FOREVER, CARDS),
    Scenario(
        "a sliding window is evicted for, although it fits",
        (NEW,),
        (sized("other", 2, 3), sized("window", 2.5, 3.8, GEMMA, "gemma3")),
        load("other", "window"),
        LONG,
        (12288,),
    ),
    Scenario(
        "the same the other way round stays",
        (NEW,),
        (sized("other", 2, 3), sized("window", 2.5, 3.8, GEMMA, "gemma3")),
        load("window", "other"),
        LONG,
        (12288,),
    ),
    Scenario(
        "latent attention is let in and spills",
        (NEW,),
        (sized("a", 4, 10.8), sized("latent", 10, 12.4, LATENT, "deepseek2")),
        load("a", "latent"),
        LONG,
        CARD,
    ),
    Scenario(
        "a fifth of what is free is stranded", (NEW,), (sized("a", 12, 14), sized("b", 7.6, 8)), load("a", "b"), SETTLED, CARD
    ),
    Scenario("and what fits in the rest stays", (NEW,), (sized("a", 12, 14), sized("b", 7.4, 8)), load("a", "b"), SETTLED, CARD),
    Scenario(
        "small, small, large on two cards",
        (NEW,),
        (sized("a", 5, 6), sized("b", 5, 6), sized("x", 17, 17.5)),
        load("a", "b", "x"),
        SETTLED,
        CARDS,
    ),
    Scenario(
        "large, small, small on two cards",
        (NEW,),
        (sized("a", 5, 6), sized("b", 5, 6), sized("x", 17, 17.5)),
        load("x", "a", "b"),
        SETTLED,
        CARDS,
    ),
    Scenario(
        "models pile up on the card that looks empty",
        (NEW,),
        tuple(sized(name, 5, 6) for name in "abcd"),
        load("a", "b", "c", "d"),
        SETTLED,
        CARDS,
    ),
    Scenario("one too large for a card is split", (NEW,), (sized("a", 29, 30),), load("a"), SETTLED, CARDS),
    Scenario(
        "spread", (NEW,), (sized("a", 4, 5), sized("b", 4, 5)), load("a", "b"), {**SETTLED, "OLLAMA_SCHED_SPREAD": "1"}, CARDS
    ),
    Scenario("a pin", (NEW,), (sized("a", 9, 10), sized("b", 7, 8, main_gpu=0)), load("a", "b"), SETTLED, CARDS),
    Scenario("a pin that evicts", (NEW,), (sized("a", 14, 15), sized("b", 7, 8, main_gpu=0)), load("a", "b"), SETTLED, CARD),
    Scenario("a pin that does not exist", (NEW,), (sized("a", 4, 5, main_gpu=3),), load("a"), SETTLED, CARDS),
    Scenario(
        "a large batch adds its surcharge",
        (NEW,),
        (sized("a", 14, 15), sized("b", 6, 7, num_batch=1024)),
        load("a", "b"),
        {**SETTLED, "OLLAMA_CONTEXT_LENGTH": "8192"},
        CARD,
    ),
    Scenario(
        "given layers that do not fit evict everybody",
        (NEW,),
        (sized("a", 0.5, 0.75), sized("c", 0.5, 0.75), sized("b", 4, 7, num_gpu=99)),
        load("a", "c", "b"),
        SETTLED,
        (8192,),
    ),
    Scenario(
        "some layers are not checked", (NEW,), (sized("a", 19, 20), sized("b", 6, 6, num_gpu=16)), load("a", "b"), SETTLED, CARD
    ),
    Scenario("the tier of one card", (NEW,), (sized("a", 4, 9),), load("a"), FOREVER, CARD),
    Scenario("the tier of two cards with error correction", (NEW,), (sized("a", 4, 9),), load("a"), FOREVER, CARDS),
    Scenario("the tier of two cards without", (NEW,), (sized("a", 4, 21),), load("a"), FOREVER, (24576, 24576)),
    Scenario(
        "four sequences of one family, one of another",
        (NEW,),
        (sized("a", 10, 15), sized("b", 6, 7), sized("c", 6, 7, architecture="qwen35")),
        (*load("a", "c"), ask("c", 0), *load("b")),
        {**SETTLED, "OLLAMA_NUM_PARALLEL": "4"},
        CARD,
    ),
    Scenario(
        "an encoder", (NEW,), (sized("v", 0.25, 0.5, ENCODER, "bert"), sized("a", 4, 5)), load("v", "a", "v"), SETTLED, CARD
    ),
    Scenario(
        "a client's context restarts and evicts",
        (NEW,),
        (sized("a", 4, 5), sized("b", 14, 16)),
        (*load("a", "b"), ask("a", num_ctx=32768)),
        SETTLED,
        CARD,
    ),
    Scenario(
        "who is left remembers what was free",
        (NEW,),
        (*(sized(name, 3, 4) for name in "abc"), sized("x", 8, 9)),
        load("a", "b", "c", "x"),
        SETTLED,
        (16384,),
    ),
)
