"""Valid fleets by the number of their seed: mixed engines, odd names, chains, smart names and clients."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from plugins.plugin_utils.fleet import Fleet
from plugins.plugin_utils.intent import Intent, parse_fleet
from plugins.plugin_utils.plan import make_plan
from plugins.plugin_utils.routing_plan import Routing

SEEDS = range(200)
# What a name may hold; `--` is also what stands between the parts of an id.
ODD_NAMES = ("qwen3:8b", "hf.co/maker/model-GGUF:Q4_K_M", "a--b", "gpt-oss:120b", "v1.5", "team@home", "x+y", "openai/gpt-4o")
TIERS = ("SIMPLE", "MEDIUM", "COMPLEX", "REASONING")


def random_intent(seed: int) -> Intent:
    """The same seed always gives the same fleet."""
    chance = random.Random(seed)
    hosts = {f"host{number}": _host(chance, number) for number in range(chance.randint(1, 6))}
    modes = ["chat", *(chance.choice(("chat", "chat", "embedding")) for _more in range(chance.randint(0, 7)))]
    aliases = {_alias_name(chance, number): mode for number, mode in enumerate(modes)}
    models: dict[str, Any] = {}
    assignments = {alias: _deployments(chance, mode, hosts, models) for alias, mode in aliases.items()}
    variables = {
        "llm_models": models,
        "llm_workloads": {alias: _workload(chance, mode) for alias, mode in aliases.items()},
        "llm_policy": {"headroom_gib": 0.5},
        "llm_assignments": assignments,
        "llm_router": _router(chance, aliases),
    }
    return Intent(variables, hosts, addresses={name: f"{name}.lan" for name in hosts}, router_hosts=("host0",))


@cache
def random_fleet(seed: int) -> Fleet:
    return parse_fleet(random_intent(seed))


@cache
def random_routing(seed: int) -> Routing:
    return Routing(random_fleet(seed))


@cache
def random_plan(seed: int) -> dict[str, Any]:
    """The plan of this fleet; several files of tests look at it, and none changes it."""
    return make_plan(random_fleet(seed), "random")


def _host(chance: random.Random, number: int) -> dict[str, Any]:
    pools = [{"name": "gpu0", "kind": "gpu", "memory_gib": 512, "reserved_gib": 1}]
    kind = chance.choice(("llama_cpp", "ollama", "external"))
    if kind == "llama_cpp":
        return {"engine": kind, "base_port": 10000 + 100 * number, "accelerators": pools}
    url = f"http{chance.choice(('', 's'))}://host{number}.lan:11434{chance.choice(('', '/'))}"
    own = {"managed": False} if kind == "external" else {"accelerators": pools}
    return {"engine": kind, "url": url, **own}


def _alias_name(chance: random.Random, number: int) -> str:
    return chance.choice((f"alias{number}", f"alias-{number}", f"alias_{number}", f"group/alias{number}", f"alias{number}:fast"))


def _workload(chance: random.Random, mode: str) -> dict[str, Any]:
    made: dict[str, Any] = {"description": "made up", "mode": mode, "prompts": [{"id": "one", "text": "one"}]}
    if chance.random() < 0.5:
        made["objective"] = {"metric": "e2e_s", "percentile": 50, "limit": chance.choice((1, 10, 900))}
    if chance.random() < 0.3:
        made["timeout_s"] = chance.choice((900, 1000.5))
    if chance.random() < 0.2:
        made["stream_timeout_s"] = 5
    return made


def _deployments(chance: random.Random, mode: str, hosts: dict[str, Any], models: dict[str, Any]) -> list[dict[str, str]]:
    chosen = chance.sample(list(hosts), chance.randint(1, min(3, len(hosts))))
    return [{"model": _model(chance, mode, host, hosts[host], models), "host": host} for host in chosen]


def _model(chance: random.Random, mode: str, host: str, settings: dict[str, Any], models: dict[str, Any]) -> str:
    """A model that is on the host already, or a new one: at most one of each mode, because an Ollama keeps three for each GPU."""
    known = [name for name, model in models.items() if model["mode"] == mode and name.startswith(f"{host}.")]
    if known and (len(known) > 1 or settings["engine"] == "ollama" or chance.random() < 0.5):
        return chance.choice(known)
    name = f"{host}.{len(models)}.{chance.choice(ODD_NAMES)}"
    kind = "external" if settings["engine"] == "external" else "ollama"
    models[name] = {
        "source": {"kind": kind, "name": f"made{len(models)}:8b" if kind == "ollama" else chance.choice(ODD_NAMES)},
        "mode": mode,
        "context_tokens": 2048,
        "declared": {"memory_gib": 2, "source": "made up"},
    }
    if chance.random() < 0.5:
        models[name]["images"] = chance.random() < 0.5
    return name


def _router(chance: random.Random, aliases: dict[str, str]) -> dict[str, Any]:
    chats = [alias for alias, mode in aliases.items() if mode == "chat"]
    smart = {f"smart{number}": _smart(chance, chats) for number in range(chance.choice((0, 0, 1, 2)))}
    fallbacks = {}
    for name, mode in [*aliases.items(), *((name, "chat") for name in smart)]:
        others = [other for other, theirs in aliases.items() if theirs == mode and other != name]
        if others and chance.random() < 0.6:
            fallbacks[name] = chance.sample(others, chance.randint(1, min(4, len(others))))
    names = [*aliases, *smart]
    return {
        "fallbacks": fallbacks,
        "smart": smart,
        "clients": {
            f"client{number}": {"aliases": chance.sample(names, chance.randint(1, len(names)))}
            for number in range(chance.choice((0, 0, 1, 3)))
        },
        **({"health": {"interval_s": chance.choice((10, 300))}} if chance.random() < 0.3 else {}),
        **({"redis": {"host": "redis.lan", "password": chance.random() < 0.5}} if chance.random() < 0.3 else {}),
        "prometheus": chance.random() < 0.2,
        "json_logs": chance.random() < 0.2,
    }


def _smart(chance: random.Random, chats: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {"tiers": {tier: chance.choice(chats) for tier in TIERS}}
    if chance.random() < 0.5:
        made["default"] = chance.choice(chats)
    if chance.random() < 0.5:
        made["keyword_rules"] = [{"keywords": ["proof", "step by step"], "tier": chance.choice(TIERS)}]
    return {**made, "session_affinity": chance.random() < 0.5}
