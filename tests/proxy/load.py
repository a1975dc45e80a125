"""Bounded load on a router: eight clients, plain and streaming answers, new and kept connections, some answers slow."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

CLIENTS = 8
# An answer that takes longer than this is a lost one.
ANSWER_S = 60.0
# It ends by itself, whatever the test does.
LIFE_S = 900.0


@dataclass
class Load:
    """What was asked and what came back; `failures` says for each lost request when and how."""

    url: str
    key: str
    body: Callable[[int], dict[str, Any]]
    # Between two requests of a client: an engine on the same two cores leaves some of them to others.
    pause_s: float = 0.0
    answered: int = 0
    by_deployment: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.over, self.lock = threading.Event(), threading.Lock()
        self.began = time.monotonic()
        self.threads = [threading.Thread(target=self.ask_on, args=(number,), daemon=True) for number in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_reason: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(ANSWER_S + 5)

    def wait_for(self, answers: int) -> None:
        """Until so many more answers have come, or the time is over."""
        wanted = self.answered + answers
        while self.answered < wanted and not self.failures and time.monotonic() - self.began < LIFE_S:
            time.sleep(0.05)

    def ask_on(self, client: int) -> None:
        """One client: even ones keep their connection, odd ones open a new one each time."""
        connection, number = self.connect(), client
        while not self.over.is_set() and time.monotonic() - self.began < LIFE_S:
            if client % 2:
                connection.close()
                connection = self.connect()
            self.ask(connection, number)
            self.over.wait(self.pause_s)
            number += CLIENTS
        connection.close()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=ANSWER_S)

    def ask(self, connection: http.client.HTTPConnection, number: int) -> None:
        body, began = self.body(number), time.monotonic()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body).encode(), headers)
            answer = connection.getresponse()
            content, deployment = answer.read(), answer.headers.get("x-litellm-model-id", "")
            lost = fault(answer.status, content, bool(body.get("stream")))
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            lost, deployment = f"{type(error).__name__}: {error}", ""
        with self.lock:
            self.answered += 1
            self.by_deployment[deployment] = self.by_deployment.get(deployment, 0) + 1
            if lost:
                self.failures.append(f"request {number} after {began - self.began:.2f} s: {lost}")


def fault(status: int, content: bytes, streamed: bool) -> str:
    """What is wrong with an answer; "" when nothing is."""
    if status != 200:
        return f"HTTP {status}: {content[:300]!r}"
    if streamed:
        return "" if content.rstrip().endswith(b"data: [DONE]") else f"the stream was cut: {content[-200:]!r}"
    text = json.loads(content)["choices"][0]["message"]["content"]
    return "" if text else f"an empty answer: {content[:300]!r}"
