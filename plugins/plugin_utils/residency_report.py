"""The residency of the fleet from receipts: what is not as planned in sentences, and a table of what each engine keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..module_utils.packing import GIB_IN_MIB
from ..module_utils.resident_set import Expected, for_ever, foreign, loaded_as, model_findings
from ..module_utils.server_settings import settings_findings, untold
from .plan_table import table

Receipt = Mapping[str, Any]
MIB = 2**20
HEADING = ("host", "model", "engine", "context", "memory", "in GPU", "keep-alive", "verdict", "watchdog")
UNKNOWN = "-"


def expected_of(item: Mapping[str, Any]) -> Expected:
    """A resident of the plan as its engine must have it. A pin is of the registry's model: a derived one has another digest."""
    return Expected(
        item["engine_model"],
        item["mode"],
        item["context_tokens"],
        bool(item.get("full_offload")),
        None if item.get("derived") else item.get("digest"),
        item["load_order"],
    )


def promised(host: Mapping[str, Any]) -> bool:
    """Whether we see to it that all models of a host's Ollama stay loaded."""
    return bool(host["engine"] == "ollama" and host["managed"])


def resident_findings(item: Mapping[str, Any], receipt: Receipt) -> list[str]:
    """What a managed Ollama does not have as planned of one model; each goes on after the model's name."""
    return [finding.text for finding in model_findings(expected_of(item), receipt)]


def host_settings_findings(host: Mapping[str, Any], settings: Mapping[str, Any] | None) -> list[str]:
    """What a running Ollama does not have of the settings that the plan proved the set with. ``settings``: of engine_info."""
    if not promised(host) or settings is None:
        return []
    return settings_findings(host["admission"]["settings"], settings["environment"], settings["effective"])


def untold_settings(name: str, host: Mapping[str, Any], settings: Mapping[str, Any] | None) -> list[str]:
    """Of a host of this name: one sentence where a managed Ollama does not tell all settings of the plan, none otherwise."""
    if not promised(host) or settings is None:
        return []
    names = untold(host["admission"]["settings"], settings["environment"], settings["effective"])
    told = f"neither the engine's log nor its process tells {', '.join(names)}"
    return [f"{name}: {told}; whether it runs with them as planned is not known"] if names else []


def residency_table(
    plan: Mapping[str, Any],
    receipts: Mapping[str, Mapping[str, Receipt]],
    findings: Mapping[tuple[str, str], Sequence[str]],
    watchdogs: Mapping[str, Mapping[str, Any] | None],
) -> str:
    """One line per resident of the hosts that were asked, then what else is loaded.

    ``receipts``: host -> model -> receipt. ``findings``: (host, model) -> sentences. ``watchdogs``: host -> its residency.json,
    None where there is none.
    """
    rows: list[Sequence[str]] = [HEADING]
    notes: list[str] = []
    for name, asked in receipts.items():
        host = plan["hosts"][name]
        for item in host["resident"]:
            receipt, wrong = asked.get(item["model"]), findings.get((name, item["model"]), ())
            rows.append((name, item["model"], *_cells(host, item, receipt, wrong), _counters(watchdogs.get(name), item)))
        notes += _foreign(name, host, list(asked.values()))
    return "\n".join([*table(rows), *notes])


def _cells(host: Mapping[str, Any], item: Mapping[str, Any], receipt: Receipt | None, wrong: Sequence[str]) -> tuple[str, ...]:
    if receipt is None or receipt["error"]:
        said = "was not asked" if receipt is None else "does not answer"
        return host["engine"], UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, said
    loaded = _loaded(host["engine"], item, receipt)
    told = f"{host['engine']} {receipt['version']}" if receipt["version"] else str(host["engine"])
    verdict = "; ".join(wrong) or _verdict(host, loaded, receipt)
    if loaded is None:
        return told, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, verdict
    context = loaded["context_tokens"]
    return (
        told,
        UNKNOWN if context is None else str(context),
        _memory(host["engine"], loaded["size_bytes"]),
        _share(loaded["size_vram_bytes"], loaded["size_bytes"]),
        _keep_alive(host["engine"], loaded),
        verdict,
    )


def _loaded(engine: str, item: Mapping[str, Any], receipt: Receipt) -> Mapping[str, Any] | None:
    """The engine's entry of a model; a process of llama.cpp has one."""
    if engine == "ollama":
        return next(iter(loaded_as(expected_of(item), receipt)), None)
    return next(iter(receipt["models"]), None) if engine == "llama_cpp" and receipt["resident"] else None


def _verdict(host: Mapping[str, Any], loaded: Mapping[str, Any] | None, receipt: Receipt) -> str:
    """Where nothing is wrong: as planned, or what an engine that others look after says."""
    if host["engine"] == "external":
        return "served; whether it is loaded is not told" if receipt["available"] else "cannot be told"
    if host["engine"] == "ollama" and not host["managed"]:
        return "loaded; nobody promises that it stays" if loaded else "not loaded; loads when it is asked"
    return "as planned"


def _memory(engine: str, size_bytes: int | None) -> str:
    if size_bytes is None:
        return UNKNOWN
    mib = size_bytes / MIB
    told = f"{mib / GIB_IN_MIB:.2f} GiB" if mib >= GIB_IN_MIB else f"{mib:.0f} MiB"
    return f"{told} of weights" if engine == "llama_cpp" else told


def _share(in_gpu_bytes: int | None, size_bytes: int | None) -> str:
    return UNKNOWN if in_gpu_bytes is None or not size_bytes else f"{100 * in_gpu_bytes / size_bytes:.0f} %"


def _keep_alive(engine: str, loaded: Mapping[str, Any]) -> str:
    if engine == "llama_cpp":
        return "for ever"
    stays = for_ever(loaded["expires_at"])
    return UNKNOWN if stays is None else "for ever" if stays else f"until {loaded['expires_at'][:16].replace('T', ' ')}"


def _counters(watchdog: Mapping[str, Any] | None, item: Mapping[str, Any]) -> str:
    """What a watchdog has counted of a model; what it writes is not ours to trust."""
    models = (watchdog or {}).get("models")
    entries = models if isinstance(models, list) else []
    found = [entry for entry in entries if isinstance(entry, dict) and entry.get("name") == item["engine_model"]]
    words = {"evictions": "evicted", "loads": "loaded", "load_failures": "failed"}
    counted = {word: found[0].get(key) for key, word in words.items()} if found else {}
    told = [f"{word} {count}" for word, count in counted.items() if isinstance(count, int) and (count or word != "failed")]
    since = str((watchdog or {}).get("began_at"))[:16].replace("T", " ")
    return f"{', '.join(told)} since {since}" if told else ""


def _foreign(name: str, host: Mapping[str, Any], receipts: Sequence[Receipt]) -> Iterator[str]:
    answered = [receipt for receipt in receipts if not receipt["error"]]
    if host["engine"] != "ollama" or not answered:
        return
    names = sorted({str(item["name"]) for item in foreign([expected_of(item) for item in host["resident"]], answered[-1])})
    if names:
        yield f"note: {name} has also loaded what nobody planned: {', '.join(names)}"
