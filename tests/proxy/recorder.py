"""A recording backend: keeps what arrives, byte for byte, and answers one fixed sentence. It is no engine and plays none.

A stream stops after its first piece until `Recorder.heard` is set, by whoever has had that piece: before there was another one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SENTENCE = {
    "id": "recorded",
    "object": "chat.completion",
    "created": 1,
    "model": "recorder",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Recorded."}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
PIECES = ("Recorded", ", ", "and heard.")
# So long a stream waits for whoever hears it; then it ends without the rest.
PATIENCE_S = 60.0


@dataclass
class Recorder:
    """Where it listens, and the path and body of every request so far."""

    url: str
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    heard: threading.Event = field(default_factory=threading.Event)


def event(piece: str, finish_reason: str | None = None) -> bytes:
    """One piece of a stream."""
    choices = [{"index": 0, "delta": {"role": "assistant", "content": piece}, "finish_reason": finish_reason}]
    chunk = {**SENTENCE, "object": "chat.completion.chunk", "choices": choices}
    return f"data: {json.dumps(chunk)}\n\n".encode()


@contextmanager
def recorder() -> Iterator[Recorder]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            found.requests.append((self.path, json.loads(content)))
            if found.requests[-1][1].get("stream"):
                return self.stream()
            answer = json.dumps(SENTENCE).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            return None

        def stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            first, *others, last = PIECES
            self.wfile.write(event(first))
            if found.heard.wait(PATIENCE_S):
                self.wfile.write(b"".join(map(event, others)) + event(last, "stop") + b"data: [DONE]\n\n")

        def log_message(self, *_arguments: object) -> None:
            """Tests print what they want to."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Recorder(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
