# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask LiteLLM's own router whether it takes a configuration: `check_config.py FILE` ends with 0 or says why not.

Run with the interpreter of the environment that will serve the file. Nothing is contacted.
"""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any

import yaml


class Refused(Exception):
    """The configuration would not serve; the message says what was found and expected."""


def load(path: str) -> dict[str, Any]:
    """The file as data."""
    with open(path, encoding="utf-8") as file:
        try:
            config = yaml.safe_load(file)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise Refused(f"it is no YAML: {error}") from error
    if not isinstance(config, dict) or not config.get("model_list"):
        raise Refused("it has no model_list; expected a mapping with one deployment or more")
    return config


def check_ids(config: dict[str, Any]) -> None:
    """LiteLLM wants each deployment's id once."""
    ids = [(entry.get("model_info") or {}).get("id") for entry in config["model_list"]]
    twice = sorted({item for item in ids if item is not None and ids.count(item) > 1})
    if twice:
        raise Refused(f"model_info.id {', '.join(twice)} occurs more than once; expected each once")


def build_router(config: dict[str, Any]) -> None:
    """Build LiteLLM's router. The proxy drops settings that its router does not know; here they end the check."""
    from litellm import Router

    settings = config.get("router_settings") or {}
    unknown = sorted(set(settings) - set(inspect.signature(Router.__init__).parameters))
    if unknown:
        raise Refused(f"router_settings has {', '.join(unknown)}, which LiteLLM's router does not know and would drop")
    try:
        Router(model_list=config["model_list"], **settings)
    except Exception as error:  # whatever it is, the proxy would meet it too
        raise Refused(f"LiteLLM's router refuses it: {type(error).__name__}: {error}") from error


def main() -> int:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    try:
        config = load(sys.argv[1])
        check_ids(config)
        build_router(config)
    except Refused as refused:
        print(f"LiteLLM's configuration stays as it was: {refused}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
