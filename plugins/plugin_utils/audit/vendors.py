"""Models without a provider that LiteLLM takes all the same: by the name of the model, or by a vendor's address."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ..litellm_release import Release, parse_release

# Anywhere in a name, in all releases that were asked (get_llm_provider).
TUNED = ("ft:gpt-3.5-turbo", "ft:gpt-4")
# The rules of model_prices_and_context_window.json for names that are not in it; 1.98.1 has them, 1.83.14 does not.
LATER_NAMES = re.compile(r"claude-[a-z]+-\d+(?:[-.]\d+)?(?:-\d{8})?|(?:[a-z-]+\.)?anthropic\.claude-.*", re.IGNORECASE)
NAMES_AFTER = parse_release("1.83.14")
# From some release after 1.98.1 on (not that one, 1.106.2 does) the router keeps a deployment whose address is one of these:
# litellm.openai_compatible_endpoints, those of them for which 1.106.2 kept one.
ADDRESSES_AFTER = parse_release("1.98.1")
ADDRESSES = (
    "ai-gateway.helicone.ai",
    "ai-gateway.vercel.sh/v1",
    "api-inference.modelscope.cn/v1",
    "api.cognition.ai/v1",
    "api.cortecs.ai/v1",
    "api.deepinfra.com/v1/openai",
    "api.deepseek.com/v1",
    "api.edenai.run/v3",
    "api.friendli.ai/serverless/v1",
    "api.getnadir.com/v1",
    "api.groq.com/openai/v1",
    "api.hyperbolic.xyz/v1",
    "api.inceptionlabs.ai/v1",
    "api.inference.wandb.ai/v1",
    "api.lambda.ai/v1",
    "api.libertai.io/v1",
    "api.meta.ai/v1",
    "api.mistral.ai/v1",
    "api.perplexity.ai",
    "api.poe.com/v1",
    "api.prisminference.com/v1",
    "api.publicai.co/v1",
    "api.reka.ai/v1",
    "api.sailresearch.com/v1",
    "api.scx.ai/v1",
    "api.stima.tech/v1",
    "api.synthetic.new/openai/v1",
    "api.together.ai/v1",
    "api.together.xyz/v1",
    "api.v0.dev/v1",
    "app.empower.dev/api/v1",
    "codestral.mistral.ai/v1/chat/completions",
    "codestral.mistral.ai/v1/fim/completions",
    "gigachat.devices.sberbank.ru/api/v1",
    "integrate.api.nvidia.com/v1",
    "llm.chutes.ai/v1",
    "nano-gpt.com/api/v1",
    "ollama.com",
    "pinstripes.io/v1",
    "serverless.tensormesh.ai/v1",
)


def is_known_by_itself(model: str, base: str | None, release: Release) -> bool:
    """Whether LiteLLM finds the provider without being told."""
    if any(part in model for part in TUNED):
        return True
    if release > NAMES_AFTER and LATER_NAMES.fullmatch(model):
        return True
    return base is not None and release > ADDRESSES_AFTER and is_vendor(base)


def is_vendor(base: str) -> bool:
    """Whether the host is that of a vendor, and the path begins with the vendor's, part by part."""
    try:
        parts = urlsplit(base if "://" in base else f"https://{base}")
        place = f"{(parts.hostname or '').lower()}{parts.path}".rstrip("/")
    except ValueError:
        return False
    return any(place == address or place.startswith(f"{address}/") for address in ADDRESSES)
