"""Builds LiteLLM's Router of configurations as the proxy would, without its leave to drop what is invalid: `routers.py FILE...`

Run by the interpreter of the release that is asked. The last line is a JSON object: file -> "taken", or what was said.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import litellm
import yaml

CHAINS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "default_fallbacks", "num_retries")


def settings_of(data: dict) -> dict:
    """The Router's arguments; those of Redis are left out, it would be spoken to."""
    found = {name: value for name, value in (data.get("router_settings") or {}).items() if not name.startswith("redis")}
    for name in CHAINS:
        if name in (data.get("litellm_settings") or {}):
            found.setdefault(name, data["litellm_settings"][name])
    return found


def known_providers(data: dict) -> None:
    """What the proxy does with custom_provider_map."""
    for item in (data.get("litellm_settings") or {}).get("custom_provider_map") or []:
        litellm.provider_list.append(item["provider"])
        litellm._custom_providers.append(item["provider"])


def built(file: str) -> str:
    data = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    known_providers(data)
    entries = data["model_list"]
    try:
        router = litellm.Router(model_list=entries, **settings_of(data))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    kept = len(router.model_list)
    return "taken" if kept == len(entries) else f"{kept} of {len(entries)} deployments kept"


def main() -> None:
    logging.disable(logging.CRITICAL)
    said = {os.path.basename(file): built(file) for file in sys.argv[1:]}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
