"""The sample: one measured request as it is written to build/<inventory>/samples/*.jsonl, and its JSON Schema.

`python -m plugins.plugin_utils.samples > plugins/schemas/sample.schema.json` in the clone writes the schema anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
# Rises when a change of the harness changes what a number means, so that old and new samples are not compared unawares.
HARNESS_VERSION = "1.0"
Verdict = Literal["warm", "cold", "evicted", "spilled", "throttled", "cache_hit", "noisy", "failed"]
ErrorKind = Literal["connect", "http", "timeout", "truncated", "malformed", "engine", "empty", "model"]


class Part(BaseModel):
    """Base of everything in a sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Settings(Part):
    """What was asked for, explicitly, in the request. Null where the request does not carry it (embeddings)."""

    max_tokens: int | None
    temperature: float | None
    timeout_s: float = Field(description="deadline of the whole request")
    stream: bool
    nonce: str = Field(description="eight hex digits on the first line of the user message; not part of prompt_sha256")
    seed: int = Field(description="seed of the run's nonces")
    context_tokens: int | None = Field(description="context that the plan gave the model")


class Times(Part):
    """Nanoseconds since t0, the moment before the request was written on the open connection; stamped at the read."""

    started_ns: int | None = Field(description="t0 on the controller's monotonic clock; orders the samples of one run")
    headers_ns: int | None
    first_token_ns: int | None = Field(description="first content, reasoning or tool call")
    first_answer_ns: int | None = Field(description="first content or tool call")
    last_token_ns: int | None
    end_ns: int | None = Field(description="end of the body")
    token_chunks_ns: list[int] = Field(description="every chunk that carried a token")


class ConnectionFacts(Part):
    """The kept-open connection. connect_s is never part of a time above."""

    connect_s: float | None
    opened: int | None = Field(description="connections opened to this engine so far in the run")
    request_number: int | None = Field(description="which request on this connection")


class ToolCall(Part):
    """A tool call put together from its chunks."""

    name: str
    arguments: str


class Failure(Part):
    """Why a request brought no usable reply."""

    kind: ErrorKind
    message: str
    status: int | None


class LoadedModel(Part):
    """A model that the engine says it has loaded (an external engine: offers)."""

    name: str
    digest: str | None
    context_tokens: int | None
    size_bytes: int | None
    size_vram_bytes: int | None
    expires_at: str | None


class Receipt(Part):
    """The engine's own word on what is loaded."""

    engine: str
    resident: bool | None = Field(description="null: this engine cannot tell")
    models: list[LoadedModel]
    instance: str | None = Field(description="differs after a restart of the engine")
    counters: dict[str, float]
    version: str | None
    error: Failure | None


class Receipts(Part):
    """Right before and right after the sample; null where none was asked for."""

    before: Receipt | None
    after: Receipt | None


class Grade(Part):
    """Grade of an answer, given after the timing is over."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    passed: bool = Field(alias="pass")
    score: float = Field(ge=0, le=1)
    checks: list[dict[str, Any]]


class Sample(Part):
    """One measured request."""

    schema_version: Literal[1]
    harness_version: str
    run: str = Field(description="the run's UTC timestamp: the name of its files")
    inventory: str
    plan_hash: str | None
    case: str
    number: int = Field(ge=1, description="which of the case's runs")
    runs: int = Field(ge=1)
    started_at: str = Field(description="wall clock, UTC, ISO 8601; for people, not for arithmetic")
    machine: str
    host: str
    engine: str
    managed: bool
    url: str
    model: str
    engine_model: str
    alias: str
    workload: str
    mode: Literal["chat", "embedding"]
    via: Literal["engine", "router"]
    prompt_id: str
    prompt_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    settings: Settings
    times: Times
    connection: ConnectionFacts
    status: int | None
    content: str | None
    reasoning: str | None
    tool_calls: list[ToolCall]
    finish_reason: str | None
    usage: dict[str, Any] | None = Field(description="as the engine sent it; the only source of token counts")
    timings: dict[str, Any] | None = Field(description="llama.cpp's own timings, as sent")
    reported_model: str | None
    dimension: int | None
    vector_head: list[float] | None
    template_prefix_tokens: int | None = Field(description="cached tokens that the chat template alone explains")
    receipts: Receipts
    verdict: Verdict
    evidence: list[str]
    grade: Grade | None
    error: Failure | None


def schema() -> dict[str, Any]:
    """The JSON Schema of a sample."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Sample.model_json_schema(by_alias=True),
        "title": f"homelab.llm sample, version {SCHEMA_VERSION}",
    }


def checked(sample: Mapping[str, Any]) -> dict[str, Any]:
    """The sample as plain data by the schema; raises pydantic.ValidationError for anything else."""
    return Sample.model_validate(sample).model_dump(mode="json", by_alias=True)


class SampleFile:
    """The journal of one run. A sample is on disk when ``append`` returns."""

    def __init__(self, directory: Path, now: datetime | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        self.path, self._stream = new_file(directory, stamp)
        self.run = self.path.stem

    @property
    def summary_path(self) -> Path:
        """Where this run's summary goes."""
        return self.path.with_suffix(".summary.json")

    def append(self, sample: Mapping[str, Any]) -> None:
        """Write one sample as one line, through to the disk."""
        self._stream.write(json.dumps(sample, allow_nan=False) + "\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def restore(self, samples: Sequence[Mapping[str, Any]]) -> None:
        """Write all samples of the run once more where somebody removed the file meanwhile."""
        if not self.path.is_file():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text("".join(json.dumps(sample, allow_nan=False) + "\n" for sample in samples), encoding="utf-8")

    def close(self) -> None:
        """No more samples come."""
        self._stream.close()


def new_file(directory: Path, stamp: str) -> tuple[Path, TextIO]:
    """A file of its own for this run, also when two begin in one second."""
    for number in range(1, 1000):
        path = directory / (f"{stamp}.jsonl" if number == 1 else f"{stamp}-{number}.jsonl")
        try:
            return path, path.open("x", encoding="utf-8")
        except FileExistsError:
            continue
    raise FileExistsError(f"{directory}: 1000 runs began at {stamp}")
