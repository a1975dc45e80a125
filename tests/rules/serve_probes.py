"""Probes of one release of LiteLLM, in a process each: loads the release once and forks for every probe.

Run with the interpreter of an environment that has the release. Takes one line of JSON after the other: {"probe": FILE} runs what
the file says and puts what happened into FILE.out; {"serve": [ARGUMENT, …], "variables": {…}, "log": FILE, "folder": FOLDER}
starts LiteLLM's own command and answers with its process; {"end": PROCESS} ends that. Each line is answered by one.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import sys
import time
from typing import Any

import httpx
import litellm
from litellm.proxy import proxy_cli, proxy_server

# A probe that takes longer is ended; the slowest waits for two retries of one request.
PROBE_LIMIT_S = 60.0
END_LIMIT_S = 20.0
MESSAGES = [{"role": "user", "content": "Say hello."}]


def spy_on_deadlines(kept: list[dict[str, Any]]) -> None:
    """Keep the deadlines of every request as they reach the HTTP client."""
    send = httpx.AsyncClient.send

    async def keep_and_send(client: httpx.AsyncClient, request: httpx.Request, **more: Any) -> httpx.Response:
        if request.method == "POST":
            kept.append(dict(request.extensions.get("timeout") or {}))
        return await send(client, request, **more)

    httpx.AsyncClient.send = keep_and_send  # type: ignore[method-assign]


async def call(router: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    """One request, and how it ended."""
    more = {"messages": MESSAGES} if wanted["kind"] == "chat" else {"input": ["hello"]}
    more.update({key: value for key, value in wanted.items() if key not in ("kind", "times")})
    try:
        ask = router.acompletion if wanted["kind"] == "chat" else router.aembedding
        answer = await ask(**more)
    except Exception as error:  # whatever a client would be told
        return {"ok": False, "error": type(error).__name__, "says": str(error)[:400]}
    hidden = getattr(answer, "_hidden_params", None) or {}
    host = answer.choices[0].message.content if wanted["kind"] == "chat" else None
    return {"ok": True, "id": hidden.get("model_id"), "host": host}


def facts(router: Any) -> dict[str, Any]:
    """What the router and the server made of the file."""
    return {
        "ids": [entry["model_info"]["id"] for entry in router.model_list],
        "names": sorted(router.get_model_names()),
        "timeout": router.timeout,
        "health_routing": getattr(router, "enable_health_check_routing", None),
        "health_checks": bool(proxy_server.use_background_health_checks),
        "health_interval": proxy_server.health_check_interval,
    }


async def probe(wanted: dict[str, Any]) -> dict[str, Any]:
    """Load the file as the server loads it, then send the requests through its router."""
    deadlines: list[dict[str, Any]] = []
    spy_on_deadlines(deadlines)
    try:
        loaded = await proxy_server.ProxyConfig().load_config(router=None, config_file_path=wanted["config"])
    except (Exception, SystemExit) as error:  # the server does not start
        return {"refused": f"{type(error).__name__}: {error}"[:400], "answers": [], "deadlines": [], "facts": {}}
    router = proxy_server.llm_router = loaded[0]
    answers = [await call(router, one) for one in wanted["calls"] for turn in range(one.get("times", 1))]
    return {"refused": None, "answers": answers, "deadlines": deadlines, "facts": facts(router)}


def in_child(log: str, action: Any) -> int:
    """Run an action in a process of its own; the process's id."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        action()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def waited(process: int, limit_s: float) -> int | None:
    """The exit code; None where it still runs."""
    ends = time.monotonic() + limit_s
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > ends:
            return None
        time.sleep(0.01)


def run_probe(file: str) -> dict[str, Any]:
    def action() -> None:
        with open(file, encoding="utf-8") as stream:
            wanted = json.load(stream)
        os.chdir(os.path.dirname(file))
        result = asyncio.run(probe(wanted))
        with open(f"{file}.out", "w", encoding="utf-8") as stream:
            json.dump(result, stream)

    process = in_child(f"{file}.log", action)
    code = waited(process, PROBE_LIMIT_S)
    if code is None:
        os.kill(process, signal.SIGKILL)
        code = waited(process, END_LIMIT_S)
    return {"code": code}


def serve(wanted: dict[str, Any]) -> dict[str, Any]:
    def action() -> None:
        os.chdir(wanted["folder"])
        os.environ.update(wanted["variables"])
        sys.argv = ["litellm", *wanted["serve"]]
        proxy_cli.run_server()

    return {"process": in_child(wanted["log"], action)}


def end(process: int) -> dict[str, Any]:
    code = waited(process, 0.0)
    for number in (signal.SIGTERM, signal.SIGKILL):
        if code is None:
            os.kill(process, number)
            code = waited(process, END_LIMIT_S)
    return {"code": code}


def warm_up() -> None:
    """Import what the first request of a process would, which takes longer than the request: openai's resources, tokens."""
    for name in ("chat", "embeddings"):
        importlib.import_module(f"openai.resources.{name}")
    litellm.token_counter(model="openai/m", text="hello")


def main() -> None:
    litellm.suppress_debug_info = True
    warm_up()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        if "probe" in wanted:
            reply = run_probe(wanted["probe"])
        elif "serve" in wanted:
            reply = serve(wanted)
        else:
            reply = end(wanted["end"])
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
