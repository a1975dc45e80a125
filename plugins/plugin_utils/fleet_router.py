"""What a person may write about the router: ``llm_router``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .intent_types import Address, BaseUrl, Name, Port, Positive, Strict, Text

# The four tiers of LiteLLM's complexity router; it takes no others and drops misspelt ones without a word.
Tier = Literal["SIMPLE", "MEDIUM", "COMPLEX", "REASONING"]


class Tiers(Strict):
    """Which alias answers requests of which complexity; one alias may stand for several."""

    SIMPLE: Name
    MEDIUM: Name
    COMPLEX: Name
    REASONING: Name


class KeywordRule(Strict):
    """A request with one of these words goes to this tier, however it scores."""

    keywords: list[Text] = Field(min_length=1)
    tier: Tier


class Smart(Strict):
    """A name behind which LiteLLM's complexity router chooses the alias for each request by what it asks."""

    tiers: Tiers
    default: Name | None = Field(None, description="alias where no tier can be told; default: that of MEDIUM")
    keyword_rules: list[KeywordRule] = Field(default_factory=list, description="words that decide the tier")
    modality_routing: bool = Field(
        False, description="send requests with images only to models that take them; each model of the tiers has to say `images`"
    )
    session_affinity: bool = Field(
        False, description="keep the model of a session's first request; clients have to send a session_id"
    )
    deployment_affinity: bool = Field(
        False, description="keep the deployment of each tier in a session, also when the one before it is back"
    )
    escalation_keywords: list[Text] = Field(
        default_factory=list, description="words with which anybody can ask for the next higher tier; default: none"
    )


class Client(Strict):
    """A client with a key of its own."""

    aliases: list[Name] = Field(
        min_length=1, description="what it may ask for: aliases and names of smart; what answers instead of them is added"
    )


class Health(Strict):
    """Probes of the deployments, so that a request does not have to find out who is down.

    LiteLLM's probes are real generations, on every deployment. A host that answers one request at a time answers them in turn.
    """

    interval_s: Annotated[int, Field(ge=10, le=86400)] = Field(description="seconds between two rounds of probes")
    timeout_s: Positive = Field(
        60.0, description="longest wait for a probe; a host that is busy for longer with one request is taken for dead"
    )
    max_tokens: Annotated[int, Field(ge=1, le=64)] = Field(1, description="tokens of the answer to a probe")


class Redis(Strict):
    """The Redis in which several routers share who is down. It holds no prompts and no answers."""

    host: Address
    port: Port = 6379
    password: bool = Field(False, description="true: it wants the password of the proxy's environment variable REDIS_PASSWORD")
    tls: bool = False


class Router(Strict):
    """The LiteLLM proxy in front of the fleet."""

    listen_address: Address = Field("127.0.0.1", description="address it listens on; 127.0.0.1: this machine only")
    port: Port = 4000
    url: BaseUrl | None = Field(None, description="where clients reach it; default: listen_address and port")
    num_retries: Annotated[int, Field(ge=0, le=10)] = Field(
        0,
        description=(
            "further tries of the same alias before its fallbacks, with a growing pause: seconds in which nobody answers; "
            "default: 0, because the next deployment is asked without any"
        ),
    )
    timeout_s: Positive = Field(
        300.0, description="longest answer it waits for; default of a workload, whose objective may ask for more"
    )
    allowed_fails: Annotated[int, Field(ge=0)] = Field(0, description="failures in a minute before a deployment cools down")
    cooldown_s: Positive = Field(30.0, description="how long a failed deployment is left alone")
    fallbacks: dict[Name, Annotated[list[Name], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="alias or name of smart -> aliases that may answer instead when all its deployments are down",
    )
    smart: dict[Name, Smart] = Field(
        default_factory=dict, description="name -> how requests that name it are spread over aliases by their complexity"
    )
    clients: dict[Name, Client] = Field(
        default_factory=dict, description="client -> what it may ask for; without any there is the master key alone"
    )
    health: Health | None = Field(None, description="probe the deployments in the background; default: a request finds out")
    redis: Redis | None = Field(None, description="shared state of several routers; default: each learns alone")
    prometheus: bool = Field(False, description="metrics at /metrics, for those who have the master key")
    json_logs: bool = Field(False, description="one JSON object a line instead of text")
