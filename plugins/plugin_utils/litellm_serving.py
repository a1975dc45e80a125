"""What a deployment of LiteLLM has to know of a configuration: how long its requests may take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .audit.config import Config
from .audit.names import Names
from .audit.walk import Walk, Walker
from .litellm_release import Release

# Where nothing says how long a request may take (litellm/constants.py has 6000 s; nobody waits so long for a restart).
UNSAID_TIMEOUT_S = 600.0
# A stream takes longer than its timeout, which is for the gap between two pieces: it gets the time of one more.
ATTEMPTS = 2
MARGIN_S = 10
# Longer than this nobody waits for a request that may never end, unless a single timeout of the configuration is longer.
LONGEST_DRAIN_S = 1800


def drain_s(config: Mapping[str, Any], release: Release) -> int:
    """How long requests that are under way may take when the proxy is told to end.

    As long as the slowest request that a release gives up nowhere sooner: every order, retry, fallback and tier of a name, each
    until its timeout; bounded, but always longer than the slowest timeout.
    """
    slowest = max(_timeouts(config), default=UNSAID_TIMEOUT_S)
    whole = max([slowest * ATTEMPTS, *_ways_s(config, release)])
    return int(max(slowest + MARGIN_S, min(whole + MARGIN_S, LONGEST_DRAIN_S)))


def _ways_s(config: Mapping[str, Any], release: Release) -> Iterator[float]:
    """For each name how long LiteLLM goes on when each deployment holds the request until its timeout."""
    found = Config(config)
    walker = Walker(found, Names(found, release), release)
    hosts = frozenset(item.host for item in found.deployments)
    for name in found.callable:
        yield _way_s(walker.walk(name, hosts))


def _way_s(way: Walk) -> float:
    if way.cut:
        return LONGEST_DRAIN_S
    return UNSAID_TIMEOUT_S * ATTEMPTS if way.seconds is None else way.seconds


def _timeouts(config: Mapping[str, Any]) -> Iterator[float]:
    settings = [(entry.get("litellm_params") or {}) for entry in config.get("model_list") or []]
    for holder in [*settings, config.get("router_settings") or {}, config.get("litellm_settings") or {}]:
        found = [seconds(holder.get(name)) for name in ("timeout", "stream_timeout", "request_timeout")]
        yield from (item for item in found if item)


def router_timeout_s(config: Mapping[str, Any]) -> float | None:
    """What router_settings say for deployments that say nothing."""
    return seconds((config.get("router_settings") or {}).get("timeout"))


def seconds(value: Any) -> float | None:
    """A number of seconds; None for what is none, which other gates refuse."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
