"""LiteLLM's own Router in its own environment: `ways.py < CONFIGS`, a JSON list of {"config", "ask": [names]}.

Each configuration is built as the proxy would. Every engine in it is one local server that refuses with 500, so that a request
for a name shows the whole way that LiteLLM goes: the ids of the deployments in the order in which they were asked; a second
request straight after it shows who is still asked while the others are left alone. Prints a JSON list of
{"models", "asked": {name: [[ids], [ids]]}}; a configuration that is not taken ends it with LiteLLM's own words.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
ERROR = json.dumps({"error": {"message": "down", "type": "server_error"}}).encode()
# The simplest that a complexity router can be asked.
MESSAGES = [{"role": "user", "content": "hello"}]


# The number in the path of each request, which is the deployment's.
ASKED: list[int] = []


class Refusing(BaseHTTPRequestHandler):
    """Refuses everything, and notes what was asked."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        ASKED.append(int(self.path.split("/")[1]))
        self.send_response(500)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(ERROR)))
        self.end_headers()
        self.wfile.write(ERROR)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def router_of(config: dict[str, Any], port: int) -> Any:
    """The Router of a configuration, whose engines are all the local server."""
    import litellm  # in its own environment

    for name, value in config["litellm_settings"].items():
        # Metrics are one for the process, and callbacks have no part in where a request goes.
        if name != "callbacks":
            setattr(litellm, name, value)
    models = json.loads(json.dumps(config["model_list"]))
    for index, entry in enumerate(models):
        if "api_base" in entry["litellm_params"]:
            entry["litellm_params"]["api_base"] = f"http://127.0.0.1:{port}/{index}/v1"
    return litellm.Router(model_list=models, **config["router_settings"])


async def ways(config: dict[str, Any], name: str, port: int) -> list[list[str]]:
    """The deployments that are asked for one request and for the next; a new Router, because the failed ones are left alone."""
    router = router_of(config, port)
    return [await way(router, config, name) for _number in range(2)]


async def way(router: Any, config: dict[str, Any], name: str) -> list[str]:
    """The deployments that are asked for one request."""
    entry = next(item for item in config["model_list"] if item["model_name"] == name)
    ASKED.clear()
    try:
        if entry["model_info"].get("mode") == "embedding":
            await router.aembedding(model=name, input=["hello"])
        else:
            await router.acompletion(model=name, messages=MESSAGES)
    except Exception as error:
        if type(error).__name__ not in ("InternalServerError", "RouterRateLimitError"):
            raise
    return [config["model_list"][index]["model_info"]["id"] for index in ASKED]


async def judged(wanted: list[dict[str, Any]], port: int) -> list[dict[str, Any]]:
    found = []
    for item in wanted:
        built = router_of(item["config"], port)
        asked = {name: await ways(item["config"], name, port) for name in item["ask"]}
        found.append({"models": len(built.model_list), "asked": asked})
    return found


def main() -> None:
    import logging

    wanted = json.load(sys.stdin)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    logging.disable(logging.CRITICAL)
    print(json.dumps(asyncio.run(judged(wanted, server.server_port))), flush=True)
    # LiteLLM's threads are not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
