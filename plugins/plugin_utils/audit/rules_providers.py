"""Rules about single deployments: does the request reach the host, in the shape that the host understands, within a time."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime

from ..litellm_release import releases
from ..problems import shown
from .addresses import is_environment, port_of
from .config import OLLAMA, Deployment, mapping, number, text
from .finding import Edit, Found, Subject, rule
from .litellm_keys import known
from .vendors import is_known_by_itself

# What LiteLLM's Ollama providers refuse with 400 when parameters are not dropped (reference 6).
REFUSED_BY_OLLAMA = ("logit_bias", "presence_penalty", "parallel_tool_calls")
# Numbers whose text makes LiteLLM drop the deployment, or fail its requests.
NUMBERS = (
    *("timeout", "stream_timeout", "rpm", "tpm", "max_parallel_requests", "weight", "cooldown_time"),
    # Fields of LiteLLM_Params, asked of 1.82.6, 1.83.14, 1.98.1 and 1.106.2; so are the texts.
    *("max_retries", "max_budget", "input_cost_per_token", "output_cost_per_token"),
)
TEXTS = (
    *("api_base", "api_key", "api_version", "custom_llm_provider", "organization", "budget_duration"),
    *("aws_region_name", "vertex_project", "vertex_location"),
)
# As a word of a name: tools_fast, not stool-classifier.
TOOLS = re.compile(r"(?<![a-z])tool(?:s|ing|use|call\w*)?(?![a-z])")
# Where a timeout for all deployments may stand.
TIMES = (("router_settings", "timeout"), ("litellm_settings", "request_timeout"))
# They ask as openai/ does, and are used for hosts of one's own.
OPENAI_LIKE = ("openai", "hosted_vllm", "lm_studio", "custom_openai")
# What a client may send to Ollama's native API to have a model loaded anew.
OVERRIDES = ("num_ctx", "keep_alive")


@rule("ollama-chat-embedding", "error", "LiteLLM answers such a request with 400 itself: nothing is ever sent to the host.")
def ollama_chat_embedding(subject: Subject) -> Iterator[Found]:
    for item in subject.config.models:
        if item.prefix == "ollama_chat" and item.is_embedding:
            better = f"ollama/{item.engine_model}"
            path = (*item.path, "litellm_params", "model")
            yield Found(path, item.model, f"{better}, or openai/ with /v1", f"Write {better}.", edits=(Edit(path, better),))


@rule(
    "ollama-generate-tools",
    "error",
    "The provider ollama/ uses the generate endpoint: tools are dropped without a word and reasoning is lost.",
)
def ollama_generate_tools(subject: Subject) -> Iterator[Found]:
    for item in _generating(subject):
        if _wants_tools(subject, item):
            yield _generates(item)


@rule(
    "ollama-generate-chat",
    "advice",
    "The provider ollama/ uses the generate endpoint: a client's tools are dropped without a word.",
)
def ollama_generate_chat(subject: Subject) -> Iterator[Found]:
    for item in _generating(subject):
        if not _wants_tools(subject, item):
            yield _generates(item)


def _generating(subject: Subject) -> Iterator[Deployment]:
    return (item for item in subject.config.models if item.prefix == "ollama" and not item.is_embedding)


def _wants_tools(subject: Subject, item: Deployment) -> bool:
    names = [item.group, *subject.config.aliases_of.get(item.group, ())]
    return (
        item.info.get("supports_function_calling") is True
        or "tools" in item.params
        or any(TOOLS.search(name.lower()) for name in names)
    )


def _generates(item: Deployment) -> Found:
    path, better = (*item.path, "litellm_params", "model"), f"ollama_chat/{item.engine_model}"
    mend = f"Write {better}; or openai/{item.engine_model} with api_base …/v1."
    return Found(path, item.model, "a provider that uses the chat endpoint", mend)


@rule(
    "openai-api-key-missing",
    "error",
    "Without a key the provider answers 500 'Missing credentials' itself, also for a host that asks for none.",
)
def openai_api_key_missing(subject: Subject) -> Iterator[Found]:
    shared = subject.config.setting("default_litellm_params", "router_settings")
    known_key = (
        "OPENAI_API_KEY" in {*subject.environment, *subject.config.section("environment_variables")}
        or mapping(shared).get("api_key")
        or subject.config.setting("api_key", "litellm_settings")
    )
    for item in subject.config.models:
        # A credential that is not in the file may come from a database.
        elsewhere = item.params.get("litellm_credential_name") and not item.credential
        named = item.given("api_key") or elsewhere
        # A vendor's own cloud takes its key from the environment.
        if item.prefix == "openai" and item.base and not named and not known_key:
            path = (*item.path, "litellm_params", "api_key")
            mend = "Write any text where the host asks for no key: api_key: none."
            # No mend by rule: it would take the place of a key that the environment has.
            unknown = "" if subject.environment_whole else " (whether OPENAI_API_KEY is set was not said)"
            yield Found(path, f"no api_key for {item.host}{unknown}", "an api_key", mend)


@rule("provider-unknown", "error", "The proxy drops a deployment whose provider it does not know, and starts without it.")
def provider_unknown(subject: Subject) -> Iterator[Found]:
    providers = known("providers", subject.release) | _own_providers(subject)
    names = known("bare_models", subject.release)
    for item in subject.config.models:
        if is_environment(item.model) or item.model == "*" or item.model in names or item.prefix in providers:
            continue
        if is_known_by_itself(item.model, item.base, subject.release):
            continue
        path = (*item.path, "litellm_params", "model")
        got = f"the provider {item.prefix} of {item.model}" if item.prefix else f"{item.model} without a provider"
        meant = subject.guesses.meant(item.prefix, providers).partition("Known:")[0].rstrip() if item.prefix else ""
        mend = f"{meant} " if meant else ""
        yield Found(
            path, got, "a provider that LiteLLM knows", f"{mend}Write the provider first: ollama_chat/…, openai/… and so on."
        )


def _own_providers(subject: Subject) -> set[str]:
    maps = subject.config.section("litellm_settings").get("custom_provider_map")
    return {name for item in (maps if isinstance(maps, list) else ()) if (name := text(mapping(item).get("provider")))}


@rule(
    "timeout-missing",
    "error",
    "A host that is switched off then holds a request for minutes (135 to 270 s measured), and is never left alone.",
)
def timeout_missing(subject: Subject) -> Iterator[Found]:
    for item in _unbounded(subject):
        if not _may_be_a_vendor(item):
            yield _unlimited(item, "")


@rule(
    "timeout-unsaid",
    "advice",
    "If the variable names a host of one's own: switched off, it holds a request for minutes, and is never left alone.",
)
def timeout_unsaid(subject: Subject) -> Iterator[Found]:
    for item in _unbounded(subject):
        if _may_be_a_vendor(item):
            yield _unlimited(item, f" for {item.base}")


def _unbounded(subject: Subject) -> Iterator[Deployment]:
    """What no time bounds, nobody's cloud. Another file that is included, or the proxy's environment, may say one for all."""
    settings = (subject.config.section(section).get(name) for section, name in TIMES)
    elsewhere = subject.config.data.get("include") or "REQUEST_TIMEOUT" in subject.environment
    if subject.config.timeout_s or elsewhere or any(is_environment(value) for value in settings):
        return
    yield from (item for item in subject.config.models if not item.is_cloud and not item.has_timeout)


def _may_be_a_vendor(item: Deployment) -> bool:
    """Its address stands in a variable, and its provider is not one for hosts of one's own alone."""
    return is_environment(item.base) and item.prefix not in {*OLLAMA, *OPENAI_LIKE[1:]}


def _unlimited(item: Deployment, where: str) -> Found:
    path, mend = (*item.path, "litellm_params", "timeout"), "Write timeout here, or once in router_settings."
    return Found(path, f"no timeout{where}", "the seconds that its slowest answer may take", mend)


@rule("number-type", "error", "LiteLLM drops such a deployment, or fails its requests, without a word at the start.")
def number_type(subject: Subject) -> Iterator[Found]:
    for item in subject.config.deployments:
        for name in NUMBERS:
            value = item.params.get(name)
            if value is not None and not is_environment(value) and number(value) is None:
                yield Found((*item.path, "litellm_params", name), shown(value), "a number", "Write a number without a unit.")


@rule(
    "text-type",
    "error",
    "LiteLLM drops a deployment in which such a parameter is no text, without a word; YAML makes dates and numbers of bare ones.",
)
def text_type(subject: Subject) -> Iterator[Found]:
    """The declared fields of LiteLLM_Params that are text and nothing else."""
    for item in subject.config.deployments:
        for name in TEXTS:
            value = item.params.get(name)
            if value is not None and not isinstance(value, str):
                path = (*item.path, "litellm_params", name)
                edits = (Edit(path, value.isoformat()),) if isinstance(value, date) and not isinstance(value, datetime) else ()
                yield Found(path, f"a {type(value).__name__}", "text", f"Write it in quotes: {name}: '…'.", edits=edits)


@rule(
    "parameter-refused",
    "error",
    "LiteLLM's Ollama providers answer 400 to this parameter on each request unless parameters are dropped.",
)
def parameter_refused(subject: Subject) -> Iterator[Found]:
    dropped = subject.config.section("litellm_settings").get("drop_params") is True
    for item in subject.config.models:
        if item.prefix in OLLAMA and not dropped and item.params.get("drop_params") is not True:
            for name in (name for name in REFUSED_BY_OLLAMA if item.params.get(name) is not None):
                mend = "Take it out, or set litellm_settings.drop_params: true."
                yield Found((*item.path, "litellm_params", name), f"{name} for {item.prefix}", "what the provider takes", mend)


@rule(
    "precall-drop-params",
    "error",
    "With pre-call checks and without drop_params every ollama_chat/ deployment fails: 400 'LLM Provider NOT provided'.",
    releases(until="1.83.14"),
)
def precall_drop_params(subject: Subject) -> Iterator[Found]:
    checked = subject.config.section("router_settings").get("enable_pre_call_checks") is True
    if not checked or subject.config.section("litellm_settings").get("drop_params") is True:
        return
    hit = [item for item in subject.config.models if item.prefix == "ollama_chat"]
    if hit:
        path = ("litellm_settings", "drop_params")
        got = f"pre-call checks without drop_params and {len(hit)} ollama_chat/ deployments"
        place = ("router_settings", "enable_pre_call_checks")
        yield Found(place, got, "drop_params: true", "Set litellm_settings.drop_params: true.", edits=(Edit(path, True),))


@rule(
    "client-override",
    "warning",
    "A client that sends its own num_ctx or keep_alive has Ollama load the model anew, or let it go.",
)
def client_override(subject: Subject) -> Iterator[Found]:
    """Only where the configuration itself cares about them; a hook of one's own may take them out."""
    hooked = any("." in name for name in subject.config.callbacks)
    for item in subject.config.models:
        cared = [name for name in OVERRIDES if item.params.get(name) is not None]
        if item.prefix in OLLAMA and cared and not hooked:
            path = (*item.path, "litellm_params", cared[0])
            mend = "Set it in a derived model and use openai/ with /v1, which takes neither; or drop it in a hook."
            yield Found(path, f"{' and '.join(cared)}, which clients can override", "a context that clients cannot change", mend)


@rule(
    "one-model-two-contexts",
    "warning",
    "Ollama loads a model anew when the context of a request differs from the loaded one: each switch costs a load.",
)
def one_model_two_contexts(subject: Subject) -> Iterator[Found]:
    found: dict[tuple[str, int | None, str], list[Deployment]] = defaultdict(list)
    for item in subject.config.models:
        if item.prefix in OLLAMA:
            found[item.host, port_of(item.base), item.engine_model].append(item)
    for (host, _port, model), items in found.items():
        contexts = sorted({str(item.params.get("num_ctx")) for item in items})
        if len(contexts) > 1:
            path = (*items[-1].path, "litellm_params", "num_ctx")
            got = f"{model} on {host} with num_ctx {' and '.join(contexts)}"
            yield Found(path, got.replace("None", "none"), "one context per model and host", "Give all of them the same num_ctx.")


@rule("context-window-smaller", "error", "A prompt that is too long for one model is sent to one that can hold no more.")
def context_window_smaller(subject: Subject) -> Iterator[Found]:
    for chain in subject.config.chains:
        if chain.kind == "context_window_fallbacks" and chain.key:
            own = _context_tokens(subject, chain.key)
            for target in chain.targets:
                other = _context_tokens(subject, target.name)
                if own is not None and other is not None and other <= own:
                    got = f"{target.name} with {other:g} tokens for {chain.key} with {own:g}"
                    yield Found(target.path, got, "a larger context", "Name a model with a larger context, or take it out.")


def _context_tokens(subject: Subject, name: str) -> float | None:
    """The largest context that a name offers, None where one of its deployments does not say."""
    values = [number(item.info.get("max_input_tokens", item.params.get("num_ctx"))) for item in subject.names.models(name)]
    known_values = [value for value in values if value is not None]
    return max(known_values) if known_values and len(known_values) == len(values) else None


@rule(
    "mode-completion", "advice", "Health checks of mode completion send a bare prompt; chat is what a chat model is asked with."
)
def mode_completion(subject: Subject) -> Iterator[Found]:
    for item in subject.config.models:
        if item.info.get("mode") == "completion" and item.prefix == "ollama_chat":
            path = (*item.path, "model_info", "mode")
            yield Found(path, "mode: completion", "mode: chat", "Write mode: chat.", edits=(Edit(path, "chat"),))


@rule("secret-in-file", "advice", "Whoever reads the file, or the repository that it is kept in, has the key.")
def secret_in_file(subject: Subject) -> Iterator[Found]:
    places = [((*item.path, "litellm_params", "api_key"), item.params.get("api_key")) for item in subject.config.deployments]
    places.append((("general_settings", "master_key"), subject.config.section("general_settings").get("master_key")))
    for path, value in places:
        if isinstance(value, str) and value.startswith("sk-") and len(value) > len("sk-12345678"):
            yield Found(
                path,
                "a key in the file (not shown)",
                "os.environ/NAME",
                "Put it into the proxy's environment and name the variable.",
            )
