"""Asks web servers for things within one deadline, and carefully: an answer may be slow, endless or come from somebody else.

Proxies come from the environment as everywhere in Python. Certificates are always verified. A secret (the user name and
password of an address, the token of a registry) goes to the server it is for and to no other, and stands in no message.
"""

from __future__ import annotations

import base64
import http.client
import re
import socket
import ssl
import string
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from typing import Any, Callable, Mapping
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from .connection import CONNECT_TIMEOUT_S, ReadClock, TimedHTTPConnection, TimedHTTPSConnection
from .gguf_bytes import GgufError

REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 10
EXCERPT_BYTES = 2_048
EXCERPT_CHARACTERS = 200
LINKED_DIGEST = re.compile(r'"?(?P<digest>[0-9a-f]{64})"?')
UNPRINTABLE = re.compile(r"[^ -~]+")
DEFAULT_PORTS = {"http": 80, "https": 443}

# What a status means here and what to do about it.
REMEDIES = {
    401: "it wants a login and this reader asks without one; make the model readable for everybody, or declare its size",
    403: "it does not give this to everybody; make the model readable, or declare its size",
    404: "it does not have it; check the name and the tag",
    407: "the proxy wants a login; write it into the proxy's address in the environment",
    412: "it wants a newer Ollama for this model than the one that is to be installed; raise the version, or take another model",
    416: "the file is empty or shorter than it said; fetch or push it again",
    429: "it was asked too often; wait, then run again",
}
OUT_OF_ORDER = "the server is out of order; wait, then run again"


@dataclass(frozen=True)
class Answer:
    """A reply whose body was not read yet.

    ``url`` is where it came from after all redirects; names in ``headers`` are lower case; ``linked_digest`` is the sha256 that
    a redirect told of what it leads to (huggingface.co does), without "sha256:".
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: Any
    linked_digest: str | None = None


def without_secrets(url: str) -> str:
    """An address fit for a message: no user, no password, no query (which may be a signature)."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def origin(url: str) -> str:
    """The server of an address: scheme, host, port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or DEFAULT_PORTS.get(parts.scheme)}"


def checked_url(url: str) -> str:
    """The address if it is one of a web server. Raises GgufError without showing what may be a secret."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or UNPRINTABLE.search(url) or " " in url:
        raise GgufError(f"got an address that begins with {url[:12]!r}; expected http://… or https://… of a web server")
    return url


class Client:
    """All requests for one thing. ``time_limit_s`` is for all of them together, unless ``clock`` is started anew;
    ``received_bytes`` counts bodies.

    ``use_proxies`` False: servers are asked directly, whatever the environment says.
    """

    def __init__(
        self, time_limit_s: float, ca_file: str | None = None, user_agent: str = "homelab-llm", use_proxies: bool = True
    ) -> None:
        self.received_bytes = 0
        self.clock = ReadClock()
        self.clock.start(time_limit_s)
        self._user_agent = user_agent
        self._ca_file = ca_file
        self._use_proxies = use_proxies
        self._authorization: dict[str, str] = {}
        self._opener: urllib.request.OpenerDirector | None = None

    def authorize(self, url: str, authorization: str) -> None:
        """Send this Authorization to the server of ``url`` from now on."""
        self._authorization[origin(url)] = authorization

    def is_authorized(self, url: str) -> bool:
        return origin(url) in self._authorization

    def has_time(self) -> bool:
        """Whether anything of the time limit is left."""
        try:
            return self.clock.remaining_s() > 0
        except socket.timeout:
            return False

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """The reply to a GET, redirects followed, whatever its status. Raises GgufError where no reply comes."""
        digest: str | None = None
        for _hop in range(MAX_REDIRECTS + 1):
            url = self._take_login(checked_url(url))
            answer = self._send(url, headers)
            linked = LINKED_DIGEST.fullmatch(answer.headers.get("x-linked-etag", ""))
            digest = linked["digest"] if linked else digest
            target = answer.headers.get("location")
            if answer.status not in REDIRECTS or target is None:
                return replace(answer, linked_digest=digest)
            answer.body.close()
            url = self._redirected(url, target)
        raise GgufError(f"{without_secrets(url)}: got more than {MAX_REDIRECTS} redirects, expected a file; check the address")

    def read(self, answer: Answer, count: int) -> bytes:
        """At least one and at most ``count`` bytes of a body as soon as they are there; none at its end. Raises GgufError."""
        try:
            self.clock.remaining_s()
            piece: bytes = answer.body.read1(count)
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(answer.url, error) from None
        self.received_bytes += len(piece)
        return piece

    def read_all(self, answer: Answer, limit_bytes: int) -> bytes:
        """A body that is known to be small. Raises GgufError where it is not."""
        data = bytearray()
        while len(data) <= limit_bytes:
            piece = self.read(answer, limit_bytes + 1 - len(data))
            if not piece:
                return bytes(data)
            data += piece
        raise GgufError(f"{without_secrets(answer.url)}: got more than {limit_bytes} bytes; check the address")

    def refusal(self, answer: Answer) -> GgufError:
        """The error for a status that is not success, with what the server says and what to do; closes the reply."""
        try:
            said = self.read(answer, EXCERPT_BYTES).decode("utf-8", errors="replace")
        except GgufError:
            said = ""
        answer.body.close()
        said = UNPRINTABLE.sub(" ", said).strip()[:EXCERPT_CHARACTERS]
        remedy = REMEDIES.get(answer.status, OUT_OF_ORDER if answer.status >= 500 else "check the address")
        words = f" ({said})" if said else ""
        return GgufError(f"{without_secrets(answer.url)}: the server answered {answer.status}{words}: {remedy}")

    def _take_login(self, url: str) -> str:
        """The address without user and password, which from now on go into the header."""
        parts = urlsplit(url)
        login, at, place = parts.netloc.rpartition("@")
        if not at:
            return url
        bare = urlunsplit(parts._replace(netloc=place))
        self.authorize(bare, "Basic " + base64.b64encode(unquote(login).encode()).decode())
        return bare

    def _redirected(self, url: str, target: str) -> str:
        # Header lines come as Latin-1; what is not ASCII goes on as the bytes it was.
        try:
            following = urljoin(url, quote(target, safe=string.punctuation, encoding="iso-8859-1"))
        except ValueError:
            following = ""
        if url.startswith("https:") and not following.startswith("https:"):
            raise GgufError(f"{without_secrets(url)}: redirects to an address without TLS; expected https://…; check the server")
        return following

    def _send(self, url: str, headers: Mapping[str, str]) -> Answer:
        request = urllib.request.Request(url, headers={"User-Agent": self._user_agent, **headers})
        authorization = self._authorization.get(origin(url))
        if authorization:
            request.add_unredirected_header("Authorization", authorization)
        try:
            if self._opener is None:
                self._opener = _opener(self.clock, self._ca_file, self._use_proxies)
            reply = self._opener.open(request, timeout=min(CONNECT_TIMEOUT_S, self.clock.remaining_s()))
        except GgufError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failed(url, error) from None
        found = {name.lower(): ", ".join(reply.headers.get_all(name)) for name in reply.headers}
        return Answer(url, reply.status, found, reply)

    def _limit_s(self, error: Exception) -> float:
        """The limit that a timeout has hit; what urllib wraps came before the request was sent."""
        return min(CONNECT_TIMEOUT_S, self.clock.timeout_s) if isinstance(error, urllib.error.URLError) else self.clock.timeout_s

    def _failed(self, url: str, error: Exception) -> GgufError:
        """What went wrong on the way, in words."""
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        place = without_secrets(url)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return GgufError(f"{place}: its certificate is not trusted here ({cause.verify_message}): name the CA that signed it")
        if isinstance(cause, ssl.SSLError):
            return GgufError(f"{place}: no TLS connection ({cause.reason}): a server without TLS has to be asked over plain http")
        if isinstance(cause, socket.timeout):
            got = f"{self.received_bytes} bytes were received"
            return GgufError(
                f"{place}: no answer in time (limit {self._limit_s(error):.4g} s, {got}): run again, or raise the limit"
            )
        # Errors of other kinds may quote the address.
        words = (cause.strerror or str(cause)) if isinstance(cause, OSError) else type(error).__name__
        return GgufError(f"{place}: the connection failed ({words}): check that the server runs and can be reached from here")


def _opener(clock: ReadClock, ca_file: str | None, use_proxies: bool) -> urllib.request.OpenerDirector:
    """Opens http and https, by way of the environment's proxies, and nothing else; follows no redirect and judges no status."""
    opener = urllib.request.OpenerDirector()
    opener.add_handler(urllib.request.ProxyHandler(None if use_proxies else {}))
    opener.add_handler(_PlainHandler(clock))
    opener.add_handler(_TlsHandler(clock, ca_file))
    return opener


class _PlainHandler(urllib.request.HTTPHandler):
    def __init__(self, clock: ReadClock) -> None:
        super().__init__()
        self._clock = clock

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_connection_maker(TimedHTTPConnection, self._clock), req)


class _TlsHandler(urllib.request.HTTPSHandler):
    def __init__(self, clock: ReadClock, ca_file: str | None) -> None:
        super().__init__()
        self._clock = clock
        self._ca_file = ca_file
        self._trust: ssl.SSLContext | None = None

    def https_open(self, req: urllib.request.Request) -> Any:
        if self._trust is None:
            self._trust = _trust(self._ca_file)
        return self.do_open(_connection_maker(TimedHTTPSConnection, self._clock), req, context=self._trust)


def _trust(ca_file: str | None) -> ssl.SSLContext:
    """The machine's own authorities and the one that was named."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ValueError):
            raise GgufError(f"{ca_file}: is no readable file of PEM certificates; name the CA of the server") from None
    return context


def _connection_maker(kind: Callable[..., Any], clock: ReadClock) -> Any:
    def make(host: str, **options: Any) -> Any:
        connection = kind(host, **options)
        connection.clock = clock
        return connection

    return make
