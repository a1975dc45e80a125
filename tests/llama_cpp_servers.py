"""What the hosts of the scenario `llama_cpp` fetch from: `python -m tests.llama_cpp_servers (check | up | down)`.

check   has everything that is served. Ends with 3 and the reason where that cannot be had.
up      starts, in the background, a mirror of releases and models, on the address at which the containers of the scenario reach
        this machine and on no other. Leaves servers.json beside their ssh_config: where it is, and the sha256 of what it has.
down    ends that process.

The mirror has two builds in releases/BUILD/, the second one with a byte changed in corrupted/BUILD/, and two models in models/.
store/ beside it is what an Ollama keeps of a third model; the scenario puts it on a host.
Every request is a line of mirror.jsonl.
"""

from __future__ import annotations

import functools
import json
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

from tests import background
from tests.engines.build import engine
from tests.engines.llama_cpp_releases import BUILDS, archive, archive_name
from tests.engines.releases import sha256_of
from tests.engines.small_models import llama, small_shape
from tests.ollama_servers import Mirror

MODULE = "tests.llama_cpp_servers"
BUILD = background.ROOT / "build" / "molecule" / "llama_cpp"
OLD, NEW = BUILDS
# A real model, and two that are generated: nothing they say means anything. The third one is in a store of Ollama.
REAL, GENERATED, STORED = "smollm2.gguf", "fir.gguf", "yew"


def fill(folder: Path) -> dict[str, str]:
    """The mirror's files; the sha256 of each that is sound, by its name."""
    for name in ("releases", "corrupted", "models"):
        (folder / name).mkdir(parents=True)
    sums = {}
    for build in BUILDS:
        (folder / "releases" / build).mkdir()
        (folder / "releases" / build / archive_name(build)).symlink_to(archive(build))
        sums[archive_name(build)] = sha256_of(archive(build))
    sound = archive(NEW).read_bytes()
    middle = len(sound) // 2
    (folder / "corrupted" / NEW).mkdir()
    (folder / "corrupted" / NEW / archive_name(NEW)).write_bytes(
        sound[:middle] + bytes([sound[middle] ^ 0xFF]) + sound[middle + 1 :]
    )
    (folder / "models" / REAL).symlink_to(engine("smollm2-135m") / "model.gguf")
    llama("fir", small_shape(8192)).write(folder / "models")
    return {**sums, **{name: sha256_of(folder / "models" / name) for name in (REAL, GENERATED)}}


def fill_store(folder: Path) -> None:
    """The store of an Ollama with one model, as Ollama lays it out."""
    for name in ("blobs", "manifests/registry.ollama.ai/library/yew"):
        (folder / name).mkdir(parents=True)
    written = llama(STORED, small_shape(8192)).write(folder)
    digest, size = f"sha256:{sha256_of(written)}", written.stat().st_size
    written.rename(folder / "blobs" / digest.replace(":", "-"))
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": size}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "layers": [layer]}
    (folder / "manifests/registry.ollama.ai/library/yew/1m").write_text(json.dumps(manifest))


def serve() -> None:
    """Serve until told to end."""
    over = background.until_ended()
    address = json.loads((BUILD / "addresses.json").read_text())["bridge"]
    sums = fill(BUILD / "mirror")
    fill_store(BUILD / "store")
    handler = functools.partial(Mirror, directory=str(BUILD / "mirror"), log=BUILD / "mirror.jsonl")
    server = ThreadingHTTPServer((address, 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    background.announce(BUILD, mirror=f"http://{address}:{server.server_port}", sha256=sums)
    ends = time.monotonic() + background.LIFE_S
    while time.monotonic() < ends and not over.wait(0.2):
        pass
    server.shutdown()


def check() -> None:
    """Have everything that is served. Raises Unavailable or BuildFailed."""
    for build in BUILDS:
        archive(build)
    engine("smollm2-135m")


def up() -> None:
    """Start the process that serves and wait until it does."""
    check()
    background.clear(BUILD, "mirror", "store", "record.json")
    background.start(MODULE, BUILD)


def down() -> None:
    background.end(MODULE, BUILD)


if __name__ == "__main__":
    sys.exit(background.command(sys.argv[1:], {"check": check, "up": up, "down": down, "serve": serve}))
