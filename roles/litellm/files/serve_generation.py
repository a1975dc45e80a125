# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One generation of the proxy: LiteLLM's own command line on a socket that somebody else opened.

`serve_generation.py CONFIG`, with these variables: ROUTER_LISTEN_FD (the listening socket), ROUTER_READY_FD (a pipe, gets the
word `ready` when requests are answered, and then a dot every few seconds while the event loop turns), ROUTER_DRAIN_S (how long
requests that are under way may take after SIGTERM), and ROUTER_CONNECT_S (how long a connection to an engine may take to be made;
without it as long as an answer may).

LiteLLM gives neither a socket nor a time to uvicorn, so `uvicorn.run` is replaced before its command line calls it. It ends by
itself when the process that started it is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import uvicorn

READY, BEAT = b"ready", b"."
# What LiteLLM takes from a body (headers end up there) about times, tries, who answers instead, and how an engine is spoken to. A
# deployment that fails because of it would be left alone for everybody, so only the administrator's is taken.
CONTROLS = {
    *("timeout", "stream_timeout", "request_timeout", "force_timeout", "client_side_timeout", "cooldown_time", "allowed_fails"),
    *("num_retries", "max_retries", "retry_policy", "retry_strategy", "model_group_retry_policy", "max_fallbacks"),
    *("fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "context_window_fallback_dict", "fallback_depth"),
    *("attempted_targets", "specific_deployment", "order", "_target_order", "custom_llm_provider", "api_key", "api_version"),
    *("organization", "headers", "default_headers", "extra_headers", "extra_query", "deployment_id", "base_url", "api_type"),
    *("client", "azure", "model_list", "shared_session"),
}
# Of the names that LiteLLM's release calls its own: what the proxy itself has put beside the question by then, and what a client
# says of its question alone. All others are the administrator's too.
CLIENTS_OWN = {
    *("litellm_call_id", "litellm_logging_obj", "proxy_server_request", "secret_fields", "metadata", "litellm_metadata"),
    *("litellm_session_id", "litellm_trace_id", "tags", "cache", "no-log", "allowed_openai_params"),
}
# An idle connection that a client keeps is closed after uvicorn's 5 s (timeout_keep_alive). So long after its last answer it may
# still carry a request, which is answered with the word that it was the last one.
LINGER_S = 5.5
POLL_S = 0.1
# uvicorn ticks ten times a second.
TICKS_PER_BEAT = 50


class Generation(uvicorn.Server):
    """uvicorn that says when it is ready, and that loses no request when it ends."""

    def __init__(self, config: uvicorn.Config, ready_fd: int, started: Callable[[], None]) -> None:
        super().__init__(config)
        self.ready_fd, self.parent, self.started_too = ready_fd, os.getppid(), started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """The application's start is part of it: after this every request is answered."""
        await super().startup(sockets)
        self.started_too()
        os.set_blocking(self.ready_fd, False)
        self.say(READY)

    def say(self, word: bytes) -> None:
        """To whoever started it. A pipe that is full or closed is no reason to stop serving."""
        with contextlib.suppress(OSError):
            os.write(self.ready_fd, word)

    async def on_tick(self, counter: int) -> bool:
        # The first one comes after the word itself was read.
        if counter % TICKS_PER_BEAT == TICKS_PER_BEAT - 1:
            self.say(BEAT)
        self.should_exit = self.should_exit or os.getppid() != self.parent
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, tell those who are connected that it was the last answer, and only then close what is idle."""
        for server in self.servers:
            server.close()
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        loop = asyncio.get_running_loop()
        ends = loop.time() + (self.config.timeout_graceful_shutdown or 0)
        idle: dict[Any, float] = {}
        # What was accepted a moment ago becomes a connection in the loop's next round.
        await asyncio.sleep(POLL_S)
        while self.server_state.connections and loop.time() < ends:
            idle = {one: idle.get(one, loop.time()) for one in self.server_state.connections if is_idle(one)}
            for one in [one for one, since in idle.items() if loop.time() - since > LINGER_S]:
                one.shutdown()
            await asyncio.sleep(POLL_S)
        # uvicorn begins to count anew.
        self.config.timeout_graceful_shutdown = max(math.ceil(ends - loop.time()), 1)
        await super().shutdown(sockets)


def is_idle(connection: Any) -> bool:
    """Whether nothing is under way on a connection. An answer that began before the end cannot say that it is the last one."""
    cycle = getattr(connection, "cycle", None)
    return cycle is None or cycle.response_complete


def serve(app: str, workers: int = 1, started: Callable[[], None] = lambda: None, **settings: Any) -> None:
    """What LiteLLM's command line calls instead of uvicorn.run; `started` is called when the application has started."""
    listener = socket.socket(fileno=int(os.environ["ROUTER_LISTEN_FD"]))
    config = uvicorn.Config(app, **settings, timeout_graceful_shutdown=int(os.environ["ROUTER_DRAIN_S"]))
    Generation(config, int(os.environ["ROUTER_READY_FD"]), started).run(sockets=[listener])


def connect_limit(connect_s: float) -> Any:
    """A host without power does not even refuse: only a time for connecting tells it from one that thinks for long.

    A deployment of LiteLLM's configuration has one number for connecting, waiting and reading, so the number is divided here.
    """
    import httpx
    from litellm.integrations.custom_logger import CustomLogger

    class Divided(httpx.Timeout, float):
        """Two times for httpx, one number for LiteLLM: where a caller named it, its end leaves no deployment alone."""

        def __new__(cls, whole_s: float, **_parts: float) -> Any:
            return float.__new__(cls, whole_s)

    class ConnectLimit(CustomLogger):
        async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any]:
            timeout = kwargs.get("timeout")
            # What comes to /v1/messages is a call within a call: the second time it is divided already.
            if isinstance(timeout, (int, float)) and not isinstance(timeout, httpx.Timeout):
                kwargs["timeout"] = Divided(timeout, connect=min(timeout, connect_s))
            return kwargs

    return ConnectLimit()


def client_limit() -> Any:
    """What a request says beside its question is taken from the administrator only."""
    from litellm.integrations.custom_logger import CustomLogger
    from litellm.proxy._types import LitellmUserRoles
    from litellm.types.utils import all_litellm_params

    refused = CONTROLS | set(all_litellm_params) - CLIENTS_OWN

    class ClientLimit(CustomLogger):
        async def async_pre_call_hook(self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: Any) -> None:
            if user_api_key_dict.user_role != LitellmUserRoles.PROXY_ADMIN:
                for name in [name for name in data if name in refused or name.startswith("mock_")]:
                    del data[name]

    return ClientLimit()


def keep(limits: list[Any]) -> None:
    """See to it that LiteLLM asks them. A configuration whose callbacks are a text and no list replaces all that were there."""
    import litellm

    litellm.callbacks.extend(limit for limit in limits if limit not in litellm.callbacks)


def main() -> None:
    from litellm import run_server

    limits = [client_limit()]
    if "ROUTER_CONNECT_S" in os.environ:
        limits.append(connect_limit(float(os.environ["ROUTER_CONNECT_S"])))
    keep(limits)
    uvicorn.run = functools.partial(serve, started=functools.partial(keep, limits))
    # The port is that of the socket; LiteLLM looks whether its default one is free.
    sys.argv = ["litellm", "--config", sys.argv[1], "--host", "127.0.0.1", "--port", "1", "--telemetry", "False"]
    run_server()


if __name__ == "__main__":
    main()
