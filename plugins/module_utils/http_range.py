"""The beginning of a file on a web server, read as a stream: asked for in doubling ranges, no byte of it twice."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Callable, Mapping

from .gguf_bytes import GgufError
from .http_client import Answer, Client, without_secrets

Ask = Callable[[str, Mapping[str, str]], Answer]

FIRST_BYTES = 2**20
# Each range is as long as all before it, up to this, so that at most so much is asked for in vain.
LARGEST_RANGE_BYTES = 4 * 2**20
MAX_CUTS = 3
CONTENT_RANGE = re.compile(r"bytes (?P<first>\d{1,19})-(?P<last>\d{1,19})/(?P<total>\d{1,19}|\*)")
LENGTH = re.compile(r"\d{1,19}")


class RangeStream:
    """A file on a web server from its first byte on. Opens with the first request; use it in a ``with`` statement.

    ``ask`` sends a GET and returns the reply (Client.get, or one that knows how to get a token). ``total_bytes`` is the size of
    the whole file, None where the server does not say it; ``linked_digest`` as in Answer.
    """

    def __init__(self, client: Client, ask: Ask, url: str, first_bytes: int = FIRST_BYTES) -> None:
        self.total_bytes: int | None = None
        self.linked_digest: str | None = None
        self._client = client
        self._ask = ask
        self._url = url
        self._name = without_secrets(url)
        self._first_bytes = first_bytes
        self._offset = 0
        # Where the present reply ends; None while nobody knows.
        self._end: int | None = None
        self._whole = False
        self._etag: str | None = None
        self._cuts = 0
        self._answer: Answer | None = None
        self._request()

    def __enter__(self) -> RangeStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the connection: of a reply that is longer than needed the rest is never fetched."""
        if self._answer is not None:
            self._answer.body.close()
        self._answer = None

    def read(self, count: int, /) -> bytes:
        """At least one and at most ``count`` of the next bytes; none at the end of the file. Raises GgufError."""
        while self.total_bytes is None or self._offset < self.total_bytes:
            if self._end is not None and self._offset >= self._end:
                self._request()
            piece = self._piece(count)
            if piece:
                self._offset += len(piece)
                return piece
            if self._end is None:
                self.total_bytes = self._offset
            else:
                self._cut(GgufError(f"{self._name}: the connection was cut after {self._offset} bytes: run again"))
        return b""

    def _piece(self, count: int) -> bytes:
        answer = self._answer or self._request()
        wanted = count if self._end is None else min(count, self._end - self._offset)
        try:
            return self._client.read(answer, wanted)
        except GgufError as error:
            self._cut(error)
            return self._piece(count)

    def _cut(self, error: GgufError) -> None:
        """Go on where the connection broke, a few times; a server that knows no ranges cannot go on."""
        self.close()
        self._cuts += 1
        if self._whole or self._cuts > MAX_CUTS or not self._client.has_time():
            raise error

    def _request(self) -> Answer:
        """Ask for the next range; from then on where the first one was in the end, without the redirects before it."""
        self.close()
        last = self._offset + min(max(self._offset, self._first_bytes), LARGEST_RANGE_BYTES) - 1
        answer = self._ask(self._url, {"Range": f"bytes={self._offset}-{last}"})
        self._answer = answer
        if answer.status == 206:
            self._take_range(answer)
        elif answer.status == 200 and self._offset == 0:
            self._take_whole(answer)
        elif answer.status == 200:
            raise self._broken("the server suddenly sent the whole file, expected a range of it")
        else:
            raise self._client.refusal(answer)
        if self._etag is None:
            self._etag, self.linked_digest = answer.headers.get("etag"), answer.linked_digest
        self._url = answer.url
        return answer

    def _take_range(self, answer: Answer) -> None:
        said = answer.headers.get("content-range", "")
        match = CONTENT_RANGE.fullmatch(said.strip())
        if match is None or int(match["first"]) != self._offset or int(match["last"]) < self._offset:
            raise self._broken(f"got {said[:60]!r} as Content-Range, expected one that begins at {self._offset}")
        total = None if match["total"] == "*" else int(match["total"])
        changed = answer.headers.get("etag") != self._etag if self._etag is not None else False
        if self._offset and (changed or total != self.total_bytes):
            raise self._broken("the file changed while it was read")
        self.total_bytes = total
        self._end = int(match["last"]) + 1

    def _take_whole(self, answer: Answer) -> None:
        """A server that ignores Range sends all; it is read as far as needed and then closed."""
        self._whole = True
        length = answer.headers.get("content-length", "")
        self.total_bytes = int(length) if LENGTH.fullmatch(length) else None
        self._end = self.total_bytes

    def _broken(self, problem: str) -> GgufError:
        self.close()
        return GgufError(f"{self._name}: {problem}: run again, or take another server")
