# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetches the files of a release, each checked against its sha256, going on where an earlier attempt was cut."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from urllib.parse import unquote, urlsplit

from .gguf_bytes import GgufError
from .http_client import Answer, Client, without_secrets
from .http_range import CONTENT_RANGE, LENGTH
from .release_archive import ReleaseError

# sha256sum(1): digest, space, space or *, name. Ollama's list writes ./ before the name.
CHECKSUM_LINE = re.compile(r"(?P<sha256>[0-9a-fA-F]{64}) [ *](?:\./)?(?P<file>[^/\s]+)")
CHECKSUMS_LIMIT_BYTES = 2**20
UNFINISHED = ".part"
# A server that sends nothing for so long is asked again.
STALL_S = 60.0
PIECE_BYTES = 2**20


def parse_checksums(text: str) -> dict[str, str]:
    """File name -> sha256, from a list as sha256sum(1) writes it; other lines are passed over."""
    matches = (CHECKSUM_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return {match["file"]: match["sha256"].lower() for match in matches if match}


def read_checksums(url: str) -> dict[str, str]:
    """The list of checksums at an address (http, https, file). Raises ReleaseError where there is none."""
    try:
        text = read_file(url) if is_file(url) else read_page(url)
    except GgufError as error:
        raise ReleaseError(f"checksums: {error}") from None
    except OSError as error:
        raise ReleaseError(f"checksums: {url}: {error.strerror or error}; correct the address") from None
    found = parse_checksums(text)
    if not found:
        raise ReleaseError(f"checksums: {without_secrets(url)}: got no line of a sha256 and a file name; correct the address")
    return found


def is_file(url: str) -> bool:
    return urlsplit(url).scheme == "file"


def file_path(url: str) -> str:
    """The path that a file address names. Raises ReleaseError for one of another machine."""
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise ReleaseError(f"{url}: got a file address with the machine {parts.netloc}; expected file:///path")
    return unquote(parts.path)


def read_file(url: str) -> str:
    with open(file_path(url), encoding="utf-8", errors="replace") as file:
        return file.read(CHECKSUMS_LIMIT_BYTES)


def read_page(url: str) -> str:
    client = Client(STALL_S)
    answer = client.get(url, {})
    if answer.status != 200:
        raise refused(answer)
    with contextlib.closing(answer.body):
        return client.read_all(answer, CHECKSUMS_LIMIT_BYTES).decode("utf-8", errors="replace")


def refused(answer: Answer) -> GgufError:
    """The error for a status that brings no file; closes the reply."""
    answer.body.close()
    place = without_secrets(answer.url)
    return GgufError(
        f"{place}: got status {answer.status}; expected the file; check the version, its name and the mirror's address"
    )


def sha256_of(path: str) -> str:
    """The sha256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(PIECE_BYTES), b""):
            digest.update(piece)
    return digest.hexdigest()


def fetch(url: str, sha256: str, path: str) -> int:
    """Have a file of this digest at ``path``; returns the bytes that were transferred, 0 when it was there.

    What arrives is written beside it, kept when the connection breaks and gone on with at the next call. Raises ReleaseError; a
    file of another digest is removed.
    """
    if os.path.isfile(path) and sha256_of(path) == sha256:
        return 0
    part, shown = path + UNFINISHED, without_secrets(url)
    for resumed in (os.path.isfile(part), False):
        try:
            received = copy(url, part) if is_file(url) else download(url, part)
        except GgufError as error:
            raise ReleaseError(f"{error}; what was received is kept, run again to go on") from None
        except OSError as error:
            raise ReleaseError(f"{shown}: {error.strerror or error} ({part}); make room or correct the address") from None
        got = sha256_of(part)
        if got == sha256:
            os.replace(part, path)
            return received
        os.remove(part)
        # What lay there may have been the beginning of another file: from the start, once.
        if not resumed:
            break
    raise ReleaseError(f"{shown}: got a file of sha256 {got}; expected {sha256}; check the mirror, or correct the checksum")


def copy(url: str, part: str) -> int:
    shutil.copyfile(file_path(url), part)
    return os.path.getsize(part)


def download(url: str, part: str) -> int:
    """Fetch what is missing of a file into ``part``; returns the bytes received. Raises GgufError when it gets no further."""
    client, furthest = Client(STALL_S), size_of(part)
    while True:
        try:
            if receive(client, url, part):
                return client.received_bytes
            error = GgufError(f"{without_secrets(url)}: the connection was cut after {size_of(part)} bytes")
        except GgufError as caught:
            error = caught
        # A server that knows no ranges begins again each time: only more than ever before is progress.
        if size_of(part) <= furthest:
            raise error
        furthest = size_of(part)


def size_of(path: str) -> int:
    """Size of a file in bytes; 0 when there is none."""
    return os.path.getsize(path) if os.path.isfile(path) else 0


def receive(client: Client, url: str, part: str) -> bool:
    """One request for the rest of the file; whether its end was reached. Raises GgufError."""
    offset = size_of(part)
    client.clock.start(STALL_S)
    answer = client.get(url, {"Range": f"bytes={offset}-"} if offset else {})
    if answer.status == 416 and offset:
        # Nothing behind what is there: complete, or not this file; the digest tells.
        answer.body.close()
        return True
    if answer.status not in (200, 206):
        raise refused(answer)
    begin, end = extent(answer, offset)
    with contextlib.closing(answer.body), open(part, "r+b" if begin else "wb") as file:
        file.seek(begin)
        file.truncate()
        while True:
            client.clock.start(STALL_S)
            piece = client.read(answer, PIECE_BYTES)
            if not piece:
                return end is None or file.tell() >= end
            file.write(piece)


def extent(answer: Answer, offset: int) -> tuple[int, int | None]:
    """Place of a reply's first byte in the file, and the size of the file, None where it is not said. Raises GgufError."""
    length = answer.headers.get("content-length", "")
    if answer.status == 200:
        return 0, int(length) if LENGTH.fullmatch(length) else None
    said = CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    if said is None or int(said["first"]) != offset:
        answer.body.close()
        raise GgufError(f"{without_secrets(answer.url)}: got another range than asked for; take another server")
    return offset, int(said["total"]) if said["total"] != "*" else None
