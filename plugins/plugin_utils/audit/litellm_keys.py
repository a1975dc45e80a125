"""Names that releases of LiteLLM know: settings by section, providers, strategies, models.

`make litellm-keys` writes litellm_keys.json and litellm_modes.json beside this file by asking the releases themselves.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import cast

from ..litellm_release import Release, parse_release

FILE = Path(__file__).with_name("litellm_keys.json")
MODES_FILE = Path(__file__).with_name("litellm_modes.json")


@cache
def content() -> tuple[tuple[Release, ...], dict[str, dict[str, str]]]:
    """The releases, oldest first, and section -> which of them know it ("0111") -> names."""
    read = json.loads(FILE.read_text(encoding="utf-8"))
    return tuple(map(parse_release, read["releases"])), cast("dict[str, dict[str, str]]", read["sections"])


def inventoried(release: Release) -> Release:
    """The release whose names are taken for this one: the nearest below it that was asked, else the oldest."""
    asked = content()[0]
    return max((one for one in asked if one <= release), default=asked[0])


def oldest() -> Release:
    """The oldest release that was asked: the names of earlier ones nobody knows."""
    return content()[0][0]


def newest() -> Release:
    """The newest release that was asked: what later ones know in addition, nobody knows."""
    return content()[0][-1]


@cache
def possible(section: str, release: Release) -> frozenset[str]:
    """The names that a release may know: those of the asked releases around it."""
    above = min((one for one in content()[0] if one >= release), default=newest())
    return known(section, release) | known(section, above)


@cache
def known(section: str, release: Release) -> frozenset[str]:
    """The names that a release knows in a section: a section of the file, or litellm_params, model_info, cache_params,
    complexity_router_config, sections, providers, routing_strategies, bare_models. Raises KeyError for any other section.
    """
    asked, sections = content()
    at = asked.index(inventoried(release))
    return frozenset(name for mask, names in sections[section].items() if mask[at] == "1" for name in names.split(" "))


@cache
def modes() -> dict[str, str]:
    """Model -> its mode, of those that the newest release has in its list of prices and that are no chat models."""
    read = cast("dict[str, str]", json.loads(MODES_FILE.read_text(encoding="utf-8")))
    return {name: mode for mode, names in read.items() for name in names.split(" ")}
