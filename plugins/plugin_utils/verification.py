"""Does the lab do what the plan says? From receipts and answers to sentences that name host, model and what was lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..module_utils.residency import full_name, restarted
from .plan_table import table
from .residency_report import promised, resident_findings
from .routing_ids import deployment_id

Receipts = Mapping[str, Mapping[str, Any]]


def engine_findings(plan: Mapping[str, Any], host: str, before: Receipts, after: Receipts) -> list[str]:
    """What is wrong with one host's engines. ``before`` and ``after``: model -> receipt, around the time of verification."""
    found: list[str] = []
    for item in plan["hosts"][host]["resident"]:
        where = f"{host}: {item['engine_model']} at {item['url']}"
        found += [f"{where} {text}" for text in model_findings(plan, host, item, before, after)]
    return found


def model_findings(plan: Mapping[str, Any], host: str, item: Mapping[str, Any], before: Receipts, after: Receipts) -> list[str]:
    """What is wrong with one model of a host; each goes on after the model's name."""
    first, last = before.get(item["model"]), after.get(item["model"])
    receipt = last or first
    wrong = list(_receipt_findings(plan["hosts"][host], item, receipt)) if receipt else ["was not asked"]
    if first and last and restarted(dict(first), dict(last)):
        wrong.append("was lost and started again meanwhile: what it was doing is gone")
    return wrong


def _receipt_findings(host: Mapping[str, Any], item: Mapping[str, Any], receipt: Mapping[str, Any]) -> Iterator[str]:
    if receipt["error"]:
        yield f"does not answer: {receipt['error']['message']}"
        return
    if promised(host):
        yield from resident_findings(item, receipt)
        return
    engine, available = host["engine"], receipt.get("available")
    if engine == "ollama" and full_name(item["engine_model"]) not in (available or ()):
        yield f"is not on the host (it has {', '.join(available or ()) or 'no model'}); run: ollama pull {item['engine_model']}"
    elif engine == "llama_cpp" and not receipt["resident"]:
        served = ", ".join(model["name"] for model in receipt["models"]) or "nothing"
        yield f"is not what answers there: got {served}"
    elif engine == "external" and available and item["engine_model"] not in available:
        yield f"is not served there: got {', '.join(available)}"
    for model in receipt["models"]:
        context = model["context_tokens"]
        if engine == "llama_cpp" and context is not None and context != item["context_tokens"]:
            yield f"has a context of {context} tokens, planned are {item['context_tokens']}"


def alias_findings(plan: Mapping[str, Any], answers: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the aliases, from one answer of the router for each."""
    by_alias = {answer["alias"]: answer for answer in answers}
    found: list[str] = []
    for alias, entry in plan["aliases"].items():
        answer = by_alias.get(alias)
        if answer is None:
            found.append(f"{alias}: was not asked")
        elif answer["error"]:
            hosts = ", ".join(item["host"] for item in entry["deployments"])
            found.append(f"{alias} (on {hosts}): {answer['error']}")
        else:
            found += _wrong_deployment(alias, entry, answer)
    return found


def _wrong_deployment(alias: str, entry: Mapping[str, Any], answer: Mapping[str, Any]) -> Iterator[str]:
    """The first deployment answers where all is well; another one means that the first was lost or is cooling down."""
    first = entry["deployments"][0]
    expected = deployment_id(first["id"], alias)
    if answer["answered_by"] == expected:
        return
    got = f"{alias}: got an answer from {answer['answered_by']}, expected {expected}"
    if answer["answered_by"] not in {deployment_id(item["id"], alias) for item in entry["deployments"]}:
        yield f"{got}: the router serves another plan than this one; run deploy.yml"
    else:
        lost = f"{first['model']} on {first['host']} failed a moment ago or is still cooling down in the router"
        yield f"{got}: {lost}"


def answer_table(answers: Sequence[Mapping[str, Any]]) -> str:
    """The answers as a person reads them in a terminal."""
    rows: list[Sequence[str]] = [("alias", "answered by", "seconds", "answer")]
    for answer in answers:
        said = answer["error"] or answer["excerpt"] or f"a vector of {answer['dimension']} numbers"
        rows.append((answer["alias"], answer["answered_by"] or "nobody", f"{answer['seconds']:.2f}", " ".join(said.split())))
    return "\n".join(table(rows))


def drill_target(plan: Mapping[str, Any], host: str | None) -> str:
    """The host to stop: the one asked for, or the managed one that comes first for most aliases that have a second host.

    Raises ValueError where that cannot be done.
    """
    candidates = {name for name, entry in plan["hosts"].items() if entry["managed"] and entry["engine"] != "external"}
    if host is not None and host not in candidates:
        allowed = ", ".join(sorted(candidates)) or "none"
        raise ValueError(f"drill: got host={host}, expected a managed host whose engine this collection starts: {allowed}")
    counted = {name: len(drilled_aliases(plan, name)) for name in sorted(candidates)}
    target = host or max(counted, key=lambda name: counted[name], default=None)
    if target is None or not counted[target]:
        raise ValueError(
            f"drill: no alias has {target or 'a managed host'} first and another host second; nothing to show. "
            "A managed host is one whose engine this collection starts; put one first in llm_assignments, another host second"
        )
    return target


def drilled_aliases(plan: Mapping[str, Any], host: str) -> list[str]:
    """Aliases that lose their first deployment with ``host`` and still have another one."""
    return [
        alias
        for alias, entry in plan["aliases"].items()
        if entry["deployments"][0]["host"] == host and len(entry["deployments"]) > 1
    ]


def drill_findings(plan: Mapping[str, Any], host: str, answers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Aliases that did not survive the loss of ``host``: no answer, or one that claims to come from there."""
    asked = {answer["alias"] for answer in answers}
    found = [f"{alias}: was not asked" for alias in drilled_aliases(plan, host) if alias not in asked]
    for answer in answers:
        alias = answer["alias"]
        others = [deployment_id(item["id"], alias) for item in plan["aliases"][alias]["deployments"] if item["host"] != host]
        if answer["error"]:
            found.append(f"{alias} did not survive the loss of {host}: {answer['error']}")
        elif answer["answered_by"] not in others:
            found.append(f"{alias}: got an answer from {answer['answered_by']}, expected one of {', '.join(others)}")
    return found
