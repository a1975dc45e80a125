"""Rules about settings: keys that LiteLLM does not know, health checks, keys of clients, what is stored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache

from ..litellm_release import releases
from ..problems import LONGEST_WORD
from .addresses import is_environment
from .config import Deployment, mapping, number, text
from .finding import Edit, Found, Subject, rule
from .guesses import distance
from .litellm_keys import known, newest, possible
from .rules_providers import TIMES

SECTIONS = ("router_settings", "general_settings", "litellm_settings")
# What people write for the keys of general_settings that turn checks on.
MEANT = {"enable_background_health_checks": "background_health_checks"}
HEALTH = (
    "background_health_checks",
    "enable_background_health_checks",
    "health_check_interval",
    "health_check_concurrency",
    "health_check_details",
    "use_shared_health_check",
)
# LiteLLM's defaults (reference 2.5).
INTERVAL_S, STALENESS_S = 300.0, 600.0
# A year: nobody means more.
LONGEST_S = 365 * 86_400.0
# A misspelt word is about that near to the right one.
NEAR = 0.8
# Parameters of a deployment that LiteLLM itself goes by. All others are the engine's, which has names of its own.
CONTROLS = frozenset(
    {
        "additional_drop_params",
        "api_base",
        "api_key",
        "api_version",
        "base_url",
        "complexity_router_config",
        "complexity_router_default_model",
        "cooldown_time",
        "custom_llm_provider",
        "drop_params",
        "extra_body",
        "extra_headers",
        "keep_alive",
        "litellm_credential_name",
        "max_parallel_requests",
        "max_retries",
        "max_tokens",
        "model",
        "num_ctx",
        "num_retries",
        "order",
        "stream_timeout",
        "temperature",
        "timeout",
        "weight",
    }
)
# Of model_info, which takes any key too, and of an entry itself.
FACTS = frozenset({"base_model", "health_check_model", "max_input_tokens", "mode", "supports_function_calling"})
ENTRY = frozenset({"litellm_params", "model_info", "model_name"})
# Words of their own that are one letter from a name.
NO_SLIPS = frozenset({"border", "modes"})
# Names from that length on may have two letters wrong; those up to that one none: node and made are words of their own.
LONG, SHORT = 10, 4


@lru_cache(maxsize=10_000)
def _slip(word: str, names: frozenset[str]) -> str | None:
    """The name that was meant: another case or dashes, or one letter too many, too few, wrong or swapped (two in long names)."""
    plain = re.sub(r"[-_ ]", "", word[: LONGEST_WORD + 1]).lower()
    for name, other, allowed in _plain(names) if len(word) <= LONGEST_WORD else ():
        near = abs(len(plain) - len(other)) <= allowed and distance(plain, other, allowed) <= allowed
        if plain == other or (near and (len(other) > SHORT or sorted(plain) == sorted(other))):
            return name
    return None


@cache
def _plain(names: frozenset[str]) -> tuple[tuple[str, str, int], ...]:
    """Each name, how it is compared, and how many letters may be wrong."""
    plain = ((name, name.replace("_", "")) for name in sorted(names))
    return tuple((name, other, 2 if len(other) >= LONG else 1) for name, other in plain)


@rule("key-unknown", "error", "LiteLLM ignores a setting that it does not know, most often without a word.")
def key_unknown(subject: Subject) -> Iterator[Found]:
    for section in SECTIONS:
        names = possible(section, subject.release)
        for key in subject.config.section(section):
            if key not in names and not _misplaced(section, key):
                others = [name for name in SECTIONS if key in possible(name, subject.release)]
                # A later release than all that were asked may know it: only a slip is sure then.
                if subject.release <= newest() or others or subject.guesses.near(key, names, NEAR):
                    yield _unknown(subject, (section, key), names, others)
    for key in subject.config.data:
        homes = [name for name in SECTIONS if MEANT.get(str(key), key) in possible(name, subject.release)]
        # Chains have a rule of their own.
        if homes and key not in possible("sections", subject.release) and not _misplaced("general_settings", key):
            expected = f"{homes[0]}.{MEANT.get(str(key), key)}"
            yield Found((key,), f"{key} beside the sections", expected, f"Move it to {homes[0]}.")


def _misplaced(section: str, key: object) -> bool:
    """Keys that another rule speaks about."""
    if section == "general_settings":
        return str(key).endswith("fallbacks")
    return key in HEALTH


def _unknown(subject: Subject, path: tuple[str | int, ...], names: frozenset[str], others: list[str] | None = None) -> Found:
    near, got = subject.guesses.near(path[-1], names, NEAR), f"{path[-1]} in {path[-2]}"
    mend = f"Move it to {others[0]}." if others else f"Did you mean {near}?" if near else "Take it out."
    if not others and path[-1] in possible("sections", subject.release):
        mend = "Move it beside the sections."
    return Found(path, got, "a setting that this release knows", mend)


@rule(
    "key-misspelt", "error", "LiteLLM ignores what it does not know; an unknown parameter of a deployment is sent on to the host."
)
def key_misspelt(subject: Subject) -> Iterator[Found]:
    """Sections and parameters may have names of one's own, and engines have hundreds: only a slip of the pen is wrong."""
    for path, keys, names in _open_places(subject):
        for key in keys:
            near = None if key in names or key in NO_SLIPS else _slip(key, names)
            if near:
                yield Found((*path, key), str(key), near, f"Write {near}.")


def _open_places(subject: Subject) -> Iterator[tuple[tuple[str | int, ...], list[str], frozenset[str]]]:
    # A name that begins like that holds what anchors share.
    sections = [key for key in subject.config.data if isinstance(key, str) and not key.startswith(("x-", "_", "."))]
    yield (), sections, possible("sections", subject.release)
    params = possible("litellm_params", subject.release)
    for item in subject.config.deployments:
        own = [key for key in item.params if isinstance(key, str) and key not in params]
        yield (*item.path, "litellm_params"), own, CONTROLS
        facts = [key for key in item.info if isinstance(key, str) and key not in possible("model_info", subject.release)]
        yield (*item.path, "model_info"), facts, FACTS
    entries = subject.config.data.get("model_list")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        yield ("model_list", index), [key for key in mapping(entry) if isinstance(key, str)], ENTRY


@rule("complexity-key-unknown", "error", "A complexity router takes any key and ignores those that it does not know.")
def complexity_key_unknown(subject: Subject) -> Iterator[Found]:
    names = possible("complexity_router_config", subject.release)
    for router in subject.config.complexity_routers if names else ():
        for key in mapping(router.params.get("complexity_router_config")):
            if key not in names:
                path = (*router.path, "litellm_params", "complexity_router_config", key)
                yield _unknown(subject, path, names)


@rule("setting-number", "error", "LiteLLM reads it as seconds for each request, or each streamed one, and all of them fail.")
def setting_number(subject: Subject) -> Iterator[Found]:
    """Asked of 1.82.6, 1.98.1 and 1.106.2. Of other settings a text that is no number harms nothing until something fails."""
    for section, name in (*TIMES, ("router_settings", "stream_timeout")):
        value = subject.config.section(section).get(name)
        if value is not None and not is_environment(value) and number(value) is None:
            got = "a text that is no number" if isinstance(value, str) else f"a {type(value).__name__}"
            yield Found((section, name), got, "a number", "Write a number without a unit.")


@rule("timeout-negative", "error", "The time is over before the request begins: each one fails.", releases(since="1.98.1"))
def timeout_negative(subject: Subject) -> Iterator[Found]:
    """Asked of 1.82.6, which serves, and of 1.98.1 and 1.106.2, which do not."""
    for item in subject.config.models:
        seconds = number(item.params.get("timeout"))
        if seconds is not None and seconds < 0:
            path = (*item.path, "litellm_params", "timeout")
            yield Found(path, f"{seconds:g} s", "a number of seconds", "Write how long an answer may take.")


@rule(
    "health-section",
    "error",
    "Settings of health checks count in general_settings only: here they do nothing, or keep the proxy from starting.",
)
def health_section(subject: Subject) -> Iterator[Found]:
    for section in ("litellm_settings", "router_settings"):
        for key in subject.config.section(section):
            if key in HEALTH and not (section == "router_settings" and key in known(section, subject.release)):
                name = MEANT.get(key, key)
                edits: tuple[Edit, ...] = (Edit((section, key), remove=True),)
                if name not in subject.config.section("general_settings"):
                    edits = (*edits, Edit(("general_settings", name), subject.config.section(section)[key]))
                yield Found(
                    (section, key),
                    f"{key} in {section}",
                    f"general_settings.{name}",
                    f"Write general_settings.{name}.",
                    edits=edits,
                )


def _on(subject: Subject, name: str) -> bool:
    """LiteLLM takes anything that is not empty as on, text too."""
    return bool(subject.config.setting(name, "general_settings", "router_settings"))


def _probes(subject: Subject) -> bool:
    return bool(subject.config.section("general_settings").get("background_health_checks"))


@rule(
    "health-without-routing",
    "error",
    "Health checks alone change nothing in routing: a dead host is asked first all the same.",
    releases(since="1.83.14"),
)
def health_without_routing(subject: Subject) -> Iterator[Found]:
    name = "enable_health_check_routing"
    if _probes(subject) and not _on(subject, name):
        path = ("general_settings", name)
        place = ("general_settings", "background_health_checks")
        yield Found(
            place, f"background_health_checks without {name}", f"{name}: true", f"Set {name}: true.", edits=(Edit(path, True),)
        )


@rule("routing-without-health", "error", "Without background checks there are no verdicts to route by.")
def routing_without_health(subject: Subject) -> Iterator[Found]:
    name = "enable_health_check_routing"
    # A replica that does not probe itself uses the verdicts of one that does.
    shared = any(key.startswith("redis_") for key in subject.config.section("router_settings") if isinstance(key, str))
    if _on(subject, name) and not _probes(subject) and not shared:
        path = ("general_settings", "background_health_checks")
        place = subject.config.place(name, "general_settings", "router_settings")
        yield Found(
            place,
            f"{name} without background_health_checks",
            "background_health_checks: true",
            "Set it.",
            edits=(Edit(path, True),),
        )


@rule("health-policy", "error", "allowed_fails_policy turns health routing off again unless the groups to probe are named.")
def health_policy(subject: Subject) -> Iterator[Found]:
    config = subject.config
    groups = config.setting("background_health_check_model_groups", "general_settings", "router_settings")
    if (
        config.section("router_settings").get("allowed_fails_policy")
        and _on(subject, "enable_health_check_routing")
        and not groups
    ):
        path = ("router_settings", "allowed_fails_policy")
        got = "allowed_fails_policy beside enable_health_check_routing"
        yield Found(
            path,
            got,
            "background_health_check_model_groups",
            "Name the groups in general_settings.background_health_check_model_groups.",
        )


@rule(
    "health-staleness",
    "error",
    "A verdict counts for the staleness threshold only: between two checks the dead host is asked again.",
)
def health_staleness(subject: Subject) -> Iterator[Found]:
    general = subject.config.section("general_settings")
    if not _probes(subject) or not _on(subject, "enable_health_check_routing"):
        return
    interval = min(number(general.get("health_check_interval")) or INTERVAL_S, LONGEST_S)
    threshold = number(subject.config.setting("health_check_staleness_threshold", "general_settings", "router_settings"))
    held = threshold if threshold is not None else STALENESS_S
    if held < 2 * interval:
        got = f"{held:g} s{'' if threshold is not None else ' (the default)'} for checks each {interval:g} s"
        path = subject.config.place("health_check_staleness_threshold", "general_settings", "router_settings")
        yield Found(
            path, got, f"{2 * interval:g} s or more", f"Set it to {2 * interval:g}.", edits=(Edit(path, int(2 * interval)),)
        )


@rule(
    "custom-auth-unchecked",
    "error",
    "Without both switches the list of models of a key is not looked at: each key may call everything.",
)
def custom_auth_unchecked(subject: Subject) -> Iterator[Found]:
    if not text(subject.config.section("general_settings").get("custom_auth")):
        return
    for section, name in (
        ("general_settings", "custom_auth_run_common_checks"),
        ("litellm_settings", "enable_post_custom_auth_checks"),
    ):
        place, path = ("general_settings", "custom_auth"), (section, name)
        if name not in known(section, subject.release):
            yield Found(place, f"a release without {name}", "one that has it", "Run 1.83.14 or newer.")
        elif subject.config.section(section).get(name) is not True:
            yield Found(
                place,
                f"custom_auth without {section}.{name}",
                f"{name}: true",
                f"Set {section}.{name}: true.",
                edits=(Edit(path, True),),
            )


@rule(
    "cache-stores-prompts",
    "warning",
    "The cache keeps prompts and answers, in Redis if that is its type; coordination between replicas does not need it.",
)
def cache_stores_prompts(subject: Subject) -> Iterator[Found]:
    settings = subject.config.section("litellm_settings")
    params = mapping(settings.get("cache_params"))
    # Nothing is stored for no kind of call, nor where only clients may ask for it.
    idle = params.get("supported_call_types") == [] or params.get("mode") == "default_off"
    if settings.get("cache") is True and not idle:
        mend = "Take it out; for replicas set general_settings.coordination_redis."
        yield Found(("litellm_settings", "cache"), "cache: true", "no cache, where nobody asked for one", mend)


@rule(
    "check-provider-endpoint", "advice", "It is no health check: it has LiteLLM ask the provider when wildcard models are listed."
)
def check_provider_endpoint(subject: Subject) -> Iterator[Found]:
    wild = any("*" in item.group for item in subject.config.deployments)
    if subject.config.section("litellm_settings").get("check_provider_endpoint") is True and not wild:
        path = ("litellm_settings", "check_provider_endpoint")
        mend = "Take it out; for health set general_settings.background_health_checks and enable_health_check_routing."
        yield Found(path, "check_provider_endpoint without wildcard models", "nothing", mend, edits=(Edit(path, remove=True),))


@rule(
    "health-not-resident",
    "warning",
    "A health check is a generation: on a model that is not resident it loads it, and another one has to go.",
)
def health_not_resident(subject: Subject) -> Iterator[Found]:
    if not _probes(subject) or subject.fleet is None:
        return
    for item in subject.config.models:
        resident = subject.fleet.resident.get(subject.fleet.hosts.get(item.host, ""))
        if (
            resident is not None
            and _probed(item) not in resident
            and item.info.get("disable_background_health_check") is not True
        ):
            mend = "Set model_info.health_check_model to the host's resident model, or disable_background_health_check: true."
            yield Found((*item.path, "model_info"), f"checks of {_probed(item)} on {item.host}", "a resident model", mend)


def _probed(item: Deployment) -> str:
    name = text(item.info.get("health_check_model")) or item.model
    return name.partition("/")[2] or name
