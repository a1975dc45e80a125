"""Small plans and samples to measure and judge."""

from __future__ import annotations

import copy
from typing import Any

from plugins.module_utils.stream import new_record
from plugins.plugin_utils.benchmark import Case, cases, selection
from plugins.plugin_utils.runner import RunSettings, sample_facts

SETTINGS = RunSettings("20261121T110000Z", "test", "sha256:" + "0" * 64, 3, 7, "1.0")


def plan(urls: dict[str, str] | None = None, **machines: str) -> dict[str, Any]:
    """Hosts alpha and beta, chat on both, an embedding on beta; ``urls`` by host, ``machines`` by host."""
    places = {"alpha": "http://127.0.0.1:1", "beta": "http://127.0.0.1:2", **(urls or {})}

    def host(name: str, **models: str) -> dict[str, Any]:
        resident = [{"model": model, "context_tokens": 4096, "mode": mode} for model, mode in models.items()]
        return {"engine": "llama_cpp", "managed": name == "alpha", "machine": machines.get(name, name), "resident": resident}

    def deployment(name: str, model: str, order: int) -> dict[str, Any]:
        return {
            "id": f"{name}--{model}",
            "host": name,
            "model": model,
            "engine_model": model,
            "engine": "llama_cpp",
            "url": places[name],
            "order": order,
        }

    def workload(mode: str, *texts: str, **more: Any) -> dict[str, Any]:
        prompts = [{"id": f"p{number}", "text": text} for number, text in enumerate(texts, 1)]
        return {"mode": mode, "prompts": prompts, "max_tokens": 16, "temperature": 0.0, "objective": None, **more}

    limit = {"metric": "e2e_s", "percentile": 50, "limit": 10.0}
    return copy.deepcopy(
        {
            "schema_version": 1,
            "inventory": "test",
            "content_hash": "sha256:" + "0" * 64,
            "hosts": {"alpha": host("alpha", m="chat"), "beta": host("beta", m="chat", e="embedding")},
            "aliases": {
                "coding": {"deployments": [deployment("alpha", "m", 1), deployment("beta", "m", 2)]},
                "research": {"deployments": [deployment("alpha", "m", 1)]},
                "embedding": {"deployments": [deployment("beta", "e", 1)]},
                "silent": {"deployments": [deployment("alpha", "m", 1)]},
            },
            "workloads": {
                "coding": workload("chat", "Write code.", objective=limit),
                "research": workload("chat", "Compare A.", "Compare B."),
                "embedding": workload("embedding", "Embed me."),
                "silent": workload("chat"),
            },
            "benchmark": {"runs": 3, "timeout_s": 5.0},
        }
    )


def chosen(
    document: dict[str, Any] | None = None, runs: Any = None, host: Any = None, workload: Any = None, limit: Any = None
) -> list[Case]:
    """The cases of a selection."""
    document = document or plan()
    return cases(document, selection(document, runs, host, workload, limit))


def receipt(**facts: Any) -> dict[str, Any]:
    """What a healthy llama.cpp server says."""
    model = {
        "name": "m",
        "digest": None,
        "context_tokens": 4096,
        "size_bytes": 7,
        "size_vram_bytes": None,
        "expires_at": None,
    }
    base = {
        "engine": "llama_cpp",
        "resident": True,
        "models": [model],
        "instance": "life-1",
        "counters": {},
        "version": "b1",
        "error": None,
    }
    return {**base, **facts}


def failed(kind: str = "connect", message: str = "refused") -> dict[str, Any]:
    """An error as a record has it."""
    return {"kind": kind, "message": message, "status": None}


def sample(case: Case | None = None, number: int = 1, seconds: float = 2.0, **facts: Any) -> dict[str, Any]:
    """A warm chat sample of 11 tokens whose last came after ``seconds``, the first after a tenth of that."""
    case = case or chosen()[0]
    record = new_record()
    record["times"].update(
        started_ns=5,
        headers_ns=1,
        first_token_ns=int(seconds * 1e8),
        first_answer_ns=int(seconds * 2e8),
        last_token_ns=int(seconds * 1e9),
        end_ns=int(seconds * 1.1e9),
        token_chunks_ns=[],
    )
    record.update(
        content="answer",
        reasoning="",
        finish_reason="stop",
        status=200,
        usage={"prompt_tokens": 40, "completion_tokens": 11, "prompt_tokens_details": {"cached_tokens": 10}},
    )
    return {
        **record,
        **sample_facts(case, SETTINGS, number, "0a1b2c3d"),
        "template_prefix_tokens": 10,
        "receipts": {"before": receipt(), "after": receipt()},
        "verdict": "warm",
        "evidence": ["resident"],
        "grade": None,
        **facts,
    }
