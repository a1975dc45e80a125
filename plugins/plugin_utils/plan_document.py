"""The shape of plan.yml, for its schema and for readers: what ``plan.make_plan`` returns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .fleet import Objective, Prompt
from .fleet_router import Health, KeywordRule, Redis, Tiers
from .intent_types import Mode, Strict


class PlanAccelerator(Strict):
    """One memory pool and what models may use of it."""

    name: str
    kind: Literal["gpu", "unified", "cpu"]
    memory_mib: float
    reserved_mib: float
    headroom_mib: float
    budget_mib: float
    bandwidth_gb_s: float | None
    backend: str = Field(description="what the engine computes with: cuda, rocm, vulkan, metal or cpu")


class PlanParts(Strict):
    """The named parts of a loaded model in MiB; None where nobody knows the part.

    prompt_cache_mib and checkpoint_mib, and output_mib of an embedding model, are what they grow to with use.
    """

    weights_mib: float | None
    kv_cache_mib: float | None
    state_mib: float | None
    compute_mib: float | None
    output_mib: float | None
    projector_mib: float | None
    overhead_mib: float | None
    prompt_cache_mib: float | None
    checkpoint_mib: float | None


class PlanPool(PlanParts):
    """What one loaded model takes of one memory."""

    name: str
    total_mib: float


class PlanFit(PlanParts):
    """The memory of one loaded model: its parts, and the same for each memory."""

    total_mib: float | None = Field(description="what counts against the accelerators")
    host_mib: float | None = Field(description="what it takes of the host's memory beside them")
    bound: Literal["exact", "upper", "declared"] | None = Field(description="upper: so much or less, for the reasons given")
    reasons: list[str]
    pools: list[PlanPool]
    basis: Literal["header", "declared header", "declared total", "unknown"]
    source: str


class PlanDerived(Strict):
    """A model that is made on the host, because the engine's own settings do not give it what was planned."""

    source_model: str | None = Field(alias="from", description="the model of a registry; null: the file of the source")
    parameters: dict[str, int] = Field(description="num_ctx, num_batch, main_gpu as Ollama calls them")


class PlanResident(Strict):
    """One model that a host keeps in memory."""

    model: str
    engine_model: str = Field(description="the name to use in requests to the engine")
    mode: Mode
    url: str = Field(description="where this model is served, without /v1")
    listen_address: str | None
    port: int | None
    source: dict[str, Any]
    digest: str | None = Field(description="the manifest that the source must have; null: the registry's")
    derived: PlanDerived | None = Field(description="how the engine's model is made; null: it is the source itself")
    copy_from: str | None = Field(description="the host that fetches the same model from the registry")
    declared_shape: dict[str, Any] | None
    declared_file_bytes: int | None
    context_tokens: int
    parallel: int
    kv_type: str
    batch_tokens: int | None
    main_gpu: int | None
    load_order: int = Field(description="1 is loaded first: the largest, unless only another order keeps all")
    fit: PlanFit
    accelerator: str | None = Field(description="split: several accelerators share it")
    full_offload: bool | None = Field(description="whether all of it has to be in the memory of GPUs; null: not known")
    devices: list[str] | None = Field(description="llama.cpp's names of the devices to use; null: it has no choice")
    reason: str


class PlanChange(Strict):
    """One thing to change so that all models stay."""

    setting: str = Field(description="a variable of the engine's environment, an option of a model, order, or instance")
    target: str = Field(description="server, the model, or the accelerator of an instance")
    before: str | int | None
    value: str | int
    variable: str | None = Field(description="where the inventory says it")
    reason: str


class PlanMend(Strict):
    """What would make the resident set stay, proved by a replay; found False: nothing that was tried does."""

    found: bool
    reason: str
    changes: list[PlanChange]
    tried: list[str]


class PlanEvent(Strict):
    """What the engine's scheduler does while the set is loaded."""

    kind: str
    model: str
    sentence: str


class PlanAdmission(Strict):
    """Will the engine keep the whole resident set, with the settings that the inventory says it has? None: not known."""

    stays: bool | None
    verdict: Literal["stays", "expires", "reloads", "spills", "evicts", "refused", "unknown"]
    reason: str
    engine_version: str | None = Field(description="the version whose scheduler was replayed")
    rules: str | None
    settings: dict[str, str] = Field(description="the environment of the engine with which the set stays")
    mend: PlanMend | None = Field(description="what has to be changed for that; null: nothing, or nobody knows")
    load_order: list[str]
    events: list[PlanEvent]
    notes: list[str]


class PlanHostMemory(Strict):
    """The host's own memory beside its accelerators; budget None: nobody said how much there is."""

    needed_mib: float | None
    budget_mib: float | None


class PlanHost(Strict):
    """One host with its budget and its resident set."""

    engine: Literal["ollama", "llama_cpp", "external"]
    managed: bool
    machine: str
    url: str | None
    listen_address: str | None = Field(description="where a managed Ollama listens; of llama.cpp each model says it")
    port: int | None
    budget_mib: float | None
    accelerators: list[PlanAccelerator]
    resident: list[PlanResident]
    total_mib: float | None
    free_mib: float | None
    host_memory: PlanHostMemory
    cache_ram_mib: int | None = Field(description="limit of each model's prompt cache; null: the engine's own")
    admission: PlanAdmission


class PlanDeployment(Strict):
    """One model on one host behind an alias."""

    id: str
    host: str
    model: str
    engine_model: str
    engine: Literal["ollama", "llama_cpp", "external"]
    url: str
    api_key_variable: str | None = Field(
        description="the proxy's environment variable with the engine's key; null: it wants none"
    )
    images: bool | None = Field(description="whether the model takes images; null: nobody said")
    order: int
    reason: str
    cooldown_s: float = Field(description="how long it is left alone after a failure; 0: for some name nobody is asked after it")


class PlanLeftOut(Strict):
    """A fallback that would be tried in vain."""

    alias: str
    reason: str


class PlanAlias(Strict):
    """Where requests for an alias go."""

    mode: Mode
    deployments: list[PlanDeployment]
    fallbacks: list[str]
    fallbacks_left_out: list[PlanLeftOut]
    timeout_s: float
    stream_timeout_s: float | None = Field(description="longest silence of a streamed answer; null: timeout_s")


class PlanWorkload(Strict):
    """What is measured for an alias."""

    description: str
    mode: Mode
    prompts: list[Prompt]
    max_tokens: int
    temperature: float
    objective: Objective | None
    quality_floor: float | None
    grader: dict[str, Any] | None


class PlanBenchmark(Strict):
    """How often and how long is measured."""

    runs: int
    timeout_s: float


class PlanSmart(Strict):
    """A name behind which LiteLLM's complexity router chooses an alias for each request."""

    tiers: Tiers
    default: str
    keyword_rules: list[KeywordRule]
    modality_routing: bool
    session_affinity: bool
    deployment_affinity: bool
    escalation_keywords: list[str]
    fallbacks: list[str]
    fallbacks_left_out: list[PlanLeftOut]


class PlanClient(Strict):
    """What a client's key has to allow."""

    aliases: list[str] = Field(description="what it asks for")
    models: list[str] = Field(description="every name that it may be answered by: fallbacks and tiers included")


class PlanRouter(Strict):
    """The LiteLLM proxy."""

    host: str
    listen_address: str
    port: int
    url: str
    num_retries: int
    max_fallbacks: int = Field(description="hops that LiteLLM needs for the longest way of a request")
    timeout_s: float
    allowed_fails: int
    cooldown_s: float
    smart: dict[str, PlanSmart]
    clients: dict[str, PlanClient]
    health: Health | None
    redis: Redis | None
    prometheus: bool
    json_logs: bool


class PlanDocument(Strict):
    """plan.yml."""

    schema_version: Literal[1]
    inventory: str
    content_hash: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    hosts: dict[str, PlanHost]
    aliases: dict[str, PlanAlias]
    workloads: dict[str, PlanWorkload]
    benchmark: PlanBenchmark
    router: PlanRouter
