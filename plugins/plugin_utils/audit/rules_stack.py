"""Rules about the compose or stack file in which the proxy runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..litellm_release import Release, parse_release
from ..problems import Path
from .config import mapping, number, text
from .finding import Found, Subject, rule
from .rules_keys import PUBLISHED_KEYS, REFUSED_KEY, REFUSED_SINCE, REFUSES

# Tags that move; the first three of them are named in reference 8.3.
FLOATING = re.compile(r"main-stable|main-latest|latest|main|nightly|stable|.*-(latest|nightly)")
# In tags such as v1.82.6 and main-v1.82.6-stable.
RELEASE = re.compile(r"\d{1,4}\.\d{1,4}\.\d{1,6}")
# The images of the proxy at ghcr.io/berriai.
IMAGES = frozenset({"litellm", "litellm-database", "litellm-non_root"})
DEFAULT = re.compile(r"\$\{\w+:?-([^{}]*)\}")
DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
# Docker's stop_grace_period and LiteLLM's GRACEFUL_SHUTDOWN_TIMEOUT where nothing is said.
GRACE_S, DRAIN_S = 10.0, 30.0


def litellm_services(data: object) -> dict[str, Mapping[str, Any]]:
    """The services of a compose file whose image is LiteLLM's."""
    services = mapping(mapping(data).get("services"))
    found = {name: mapping(service) for name, service in services.items() if isinstance(name, str)}
    own = {name: service for name, service in found.items() if _image_name(service) in IMAGES}
    # Somebody's own image of it has a name that nobody knows; beside one of LiteLLM's it is something else: an exporter, say.
    return own or {name: service for name, service in found.items() if "litellm" in str(service.get("image")).lower()}


def _image_name(service: Mapping[str, Any]) -> str:
    """``ghcr.io/berriai/litellm:v1.2.3`` -> ``litellm``."""
    image = DEFAULT.sub(r"\1", str(service.get("image") or "")).partition("@")[0]
    return image.rpartition("/")[2].partition(":")[0].lower()


def image_release(service: Mapping[str, Any]) -> Release | None:
    """The release that an image's tag names."""
    found = RELEASE.search(_tag(DEFAULT.sub(r"\1", str(service.get("image") or ""))) or "")
    return parse_release(found[0]) if found else None


def service_environment(service: Mapping[str, Any]) -> dict[str, str]:
    """The variables that the file gives to a service, written either way."""
    value = service.get("environment")
    if isinstance(value, dict):
        return {str(name): "" if item is None else str(item) for name, item in value.items()}
    pairs = (str(item).partition("=") for item in (value if isinstance(value, list) else ()))
    return {name: item for name, _sign, item in pairs}


def _tag(image: str) -> str | None:
    name = image.partition("@")[0]
    return name.rpartition(":")[2] if ":" in name.rpartition("/")[2] else None


def _services(subject: Subject) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for name, service in subject.stack.services.items() if subject.stack else ():
        yield ("services", name), service


@rule(
    "image-floating",
    "error",
    "The tag moves: the next start may run another release, with other rules than those that were checked.",
)
def image_floating(subject: Subject) -> Iterator[Found]:
    for path, service in _services(subject):
        image = str(service.get("image"))
        # What stands in for a variable that is not set: ${TAG:-main-latest}.
        tag = _tag(DEFAULT.sub(r"\1", image))
        floats = tag is None or ("$" not in tag and FLOATING.fullmatch(tag) and not RELEASE.search(tag))
        if "@sha256:" not in image and floats:
            yield Found((*path, "image"), image, "a release and its digest", "Write image: …:vX.Y.Z@sha256:….")


@rule("stack-key-published", "error", "The key stands in documentation: everybody has it.")
def stack_key_published(subject: Subject) -> Iterator[Found]:
    for path, service in _services(subject):
        key = service_environment(service).get("LITELLM_MASTER_KEY")
        if key in PUBLISHED_KEYS:
            why = REFUSES if key == REFUSED_KEY and subject.release >= REFUSED_SINCE else None
            mend = "Generate one and keep it out of the file."
            yield Found((*path, "environment"), f"LITELLM_MASTER_KEY with the example {key}", "a key of one's own", mend, why=why)


@rule("stop-grace-short", "error", "The container is killed before the requests in flight are done.")
def stop_grace_short(subject: Subject) -> Iterator[Found]:
    slowest = max((value for item in subject.config.models if (value := number(item.params.get("timeout")))), default=0.0)
    for path, service in _services(subject):
        drain = number(service_environment(service).get("GRACEFUL_SHUTDOWN_TIMEOUT")) or DRAIN_S
        grace = _seconds(service.get("stop_grace_period"))
        wanted = max(drain, slowest)
        if grace is not None and (grace <= drain or grace < slowest):
            default = "" if service.get("stop_grace_period") else " (the default)"
            got = f"{grace:g} s{default}, a drain of {drain:g} s, answers of {slowest:g} s"
            mend = f"Set GRACEFUL_SHUTDOWN_TIMEOUT to {wanted:g} and stop_grace_period to {wanted + GRACE_S:g}s."
            yield Found((*path, "stop_grace_period"), got, f"more than {wanted:g} s", mend)


def _seconds(value: object) -> float | None:
    """A duration of a compose file; None where it cannot be read."""
    if value is None:
        return GRACE_S
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # More than a float can hold is read as nothing.
        return number(value)
    match = DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if not match:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


@rule(
    "health-unshared",
    "warning",
    "Each worker of each replica probes every host for itself: as many generations as there are processes.",
)
def health_unshared(subject: Subject) -> Iterator[Found]:
    general = subject.config.section("general_settings")
    if not general.get("background_health_checks") or (general.get("use_shared_health_check") is True and _shares(subject)):
        return
    for path, service in _services(subject):
        replicas = number(mapping(service.get("deploy")).get("replicas")) or 1
        workers = _workers(service)
        if replicas * workers > 1:
            mend = "Set general_settings.use_shared_health_check: true and coordination_redis."
            yield Found(path, f"{replicas:g} replicas with {workers:g} workers", "shared health checks", mend)


def _shares(subject: Subject) -> bool:
    """Whether there is, or may be, a Redis for what replicas tell each other; the one of router_settings is not for that."""
    cached = subject.config.section("litellm_settings").get("cache")
    said = subject.config.section("general_settings").get("coordination_redis") or cached
    given = any(name.startswith("REDIS_") for name in subject.environment)
    own = any(str(key).startswith("redis_") for key in subject.config.section("router_settings"))
    return bool(said) or given or not (own or subject.environment_whole)


def _workers(service: Mapping[str, Any]) -> float:
    command = service.get("command")
    words = command.split() if isinstance(command, str) else [str(item) for item in command] if isinstance(command, list) else []
    for index, word in enumerate(words):
        name, _sign, value = word.partition("=")
        if name == "--num_workers":
            return number(value or (words[index + 1] if index + 1 < len(words) else "")) or 1
    return number(text(service_environment(service).get("NUM_WORKERS"))) or 1
