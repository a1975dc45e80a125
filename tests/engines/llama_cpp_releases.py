"""Releases of llama.cpp for the tests, as they are published: a .tar.gz with one folder, llama-BUILD, in which all lies flat.

They are packed from the llama-server that tests.engines.build has made, the same one under two builds' names: what is tested is
how a release is installed and replaced. Where HOMELAB_LLM_TEST_LLAMA_CPP_RELEASES names an address that has real ones in BUILD/
(https://github.com/ggml-org/llama.cpp/releases/download), those are fetched instead and nothing is built. Kept in the cache.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tarfile
import urllib.request
from pathlib import Path

from tests.engines.build import engine, key_of
from tests.engines.commands import Unavailable, say
from tests.engines.recipes import LLAMA_CPP, RECIPES
from tests.engines.releases import FETCH_TIMEOUT_S, anonymous, kept

# Both are builds that Ollama releases have carried: v0.33.0 and v0.33.2.
BUILDS = ("b10488", "b10630")
# Raised with every change of how an archive is packed.
PACKING = "1"
ADDRESS = "HOMELAB_LLM_TEST_LLAMA_CPP_RELEASES"


def archive_name(build: str) -> str:
    """The archive for the CPUs of this machine's architecture."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"llama-{build}-bin-ubuntu-{machine}.tar.gz"


def archive(build: str) -> Path:
    """The archive of a build, packed or fetched where it is not in the cache. Raises Unavailable or BuildFailed."""
    address = os.environ.get(ADDRESS, "").rstrip("/")
    if address:
        source = f"{address}/{build}/{archive_name(build)}"
        key = hashlib.sha256(source.encode()).hexdigest()[:16]
        return kept(f"llama-cpp-{build}", key, lambda folder: fetch(source, folder)) / archive_name(build)
    built = engine(LLAMA_CPP)
    key = hashlib.sha256(f"{PACKING} {key_of(RECIPES[LLAMA_CPP])}".encode()).hexdigest()[:16]
    return kept(f"llama-cpp-{build}", key, lambda folder: pack(built, build, folder)) / archive_name(build)


def fetch(source: str, folder: Path) -> None:
    say(f"fetching {source}")
    try:
        with (
            urllib.request.urlopen(source, timeout=FETCH_TIMEOUT_S) as reply,
            (folder / source.rsplit("/", 1)[1]).open("wb") as stream,
        ):
            shutil.copyfileobj(reply, stream)
    except OSError as error:
        raise Unavailable(f"{source}: {error}") from error


def pack(built: Path, build: str, folder: Path) -> None:
    """As llama.cpp's own workflow does it; OpenMP's library is left to the host there too."""
    say(f"packing {archive_name(build)}")
    with tarfile.open(folder / archive_name(build), "w:gz", compresslevel=3) as target:
        target.add(built / "bin", f"llama-{build}", filter=anonymous)
