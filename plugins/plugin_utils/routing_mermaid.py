"""The routing of a plan as Mermaid text, which GitHub and many editors draw: hosts as frames, orders as numbers on the arrows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# What means nothing to Mermaid inside quotes; anything else is written as its number.
PLAIN = re.compile(r"[^A-Za-z0-9 ._:/@+,-]")


def mermaid(plan: Mapping[str, Any]) -> str:
    """A flowchart from clients over aliases to the models on their hosts. Dotted: who answers when all of an alias are down."""
    aliases = {name: f"a{index}" for index, name in enumerate(plan["aliases"])}
    smart = {name: f"s{index}" for index, name in enumerate(plan["router"]["smart"])}
    models = dict(_models(plan))
    lines = [
        "flowchart LR",
        *_clients(plan, {**aliases, **smart}),
        *(f'    {node}{{{{"{_text(name)}"}}}}' for name, node in smart.items()),
        *(f'    {node}(["{_text(name)}"])' for name, node in aliases.items()),
        *_hosts(plan, models),
        *_tiers(plan, smart, aliases),
        *_orders(plan, aliases, models),
        *_chains(plan, aliases, smart),
    ]
    return "\n".join(lines) + "\n"


def _text(name: str) -> str:
    return PLAIN.sub(lambda found: f"#{ord(found.group())};", name)


def _models(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The id of each model on a host that an alias leads to, and its node."""
    ids = dict.fromkeys(item["id"] for entry in plan["aliases"].values() for item in entry["deployments"])
    yield from ((name, f"m{index}") for index, name in enumerate(ids))


def _hosts(plan: Mapping[str, Any], models: Mapping[str, str]) -> Iterator[str]:
    found: dict[str, dict[str, str]] = {}
    for entry in plan["aliases"].values():
        for item in entry["deployments"]:
            found.setdefault(item["host"], {})[item["id"]] = item["model"]
    for index, (host, served) in enumerate(found.items()):
        yield f'    subgraph h{index}["{_text(host)}"]'
        yield from (f'        {models[key]}["{_text(model)}"]' for key, model in served.items())
        yield "    end"


def _clients(plan: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    for index, (client, said) in enumerate(plan["router"]["clients"].items()):
        yield f'    c{index}[/"{_text(client)}"/]'
        yield from (f"    c{index} --> {names[name]}" for name in said["aliases"])


def _tiers(plan: Mapping[str, Any], smart: Mapping[str, str], aliases: Mapping[str, str]) -> Iterator[str]:
    for name, entry in plan["router"]["smart"].items():
        for alias, tiers in tiers_by_alias(entry).items():
            yield f'    {smart[name]} -- "{", ".join(tiers)}" --> {aliases[alias]}'


def tiers_by_alias(entry: Mapping[str, Any]) -> dict[str, list[str]]:
    """Alias -> the tiers that it stands for; ``otherwise`` where no tier can be told."""
    found: dict[str, list[str]] = {}
    for tier, alias in entry["tiers"].items():
        found.setdefault(alias, []).append(tier)
    if entry["default"] not in found:
        found[entry["default"]] = ["otherwise"]
    return found


def _orders(plan: Mapping[str, Any], aliases: Mapping[str, str], models: Mapping[str, str]) -> Iterator[str]:
    for name, entry in plan["aliases"].items():
        yield from (f'    {aliases[name]} -- "{item["order"]}" --> {models[item["id"]]}' for item in entry["deployments"])


def _chains(plan: Mapping[str, Any], aliases: Mapping[str, str], smart: Mapping[str, str]) -> Iterator[str]:
    for names, nodes in ((plan["aliases"], aliases), (plan["router"]["smart"], smart)):
        for name, entry in names.items():
            several = len(entry["fallbacks"]) > 1
            for index, target in enumerate(entry["fallbacks"], 1):
                label = f'-. "fallback {index}" .->' if several else '-. "fallback" .->'
                yield f"    {nodes[name]} {label} {aliases[target]}"
