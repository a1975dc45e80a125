"""What the hosts of the scenario `ollama` fetch from: `python -m tests.ollama_servers (check | up | down)`.

check   has engines, releases, a model and the registry's program in the cache, which takes a quarter of an hour when it is empty.
        Ends with 3 and the reason where they cannot be had.
up      starts, in the background, a mirror of releases and a registry with models, on the address at which the containers of the
        scenario reach this machine and on no other. Leaves servers.json beside their ssh_config: where both are, and the process.
down    ends that process.

The mirror has v0.24.0 and v0.33.0 as they are published in good/, and a v0.33.0 with a fault in corrupted/ (half an archive, with
the checksum of that half) and in wrong/ (the archive with another one's checksum). Every request is a line of mirror.jsonl; the
bytes of the registry are counted in registry.json.
Whatever behaviour.json says is how the registry behaves, see tests.real.registry_proxy.Behaviour.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests import background
from tests.engines.build import engine
from tests.engines.model_parts import Shape
from tests.engines.releases import SUMS, VERSIONS, archive_name, release, sums_line
from tests.engines.small_models import SmallModel, bert, llama, small_shape
from tests.real import registry
from tests.real.registry_proxy import Behaviour, RegistryProxy

ROOT = background.ROOT
MODULE = "tests.ollama_servers"
BUILD = ROOT / "build" / "molecule" / "ollama"
# The version of which the mirror has releases with faults.
NEXT = VERSIONS[-1]
# SmolLM2's template: what its own tokenizer_config.json says, in the engine's words.
CHATML = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"


def models() -> dict[str, SmallModel | None]:
    """Repository:tag -> what is in it; None: SmolLM2."""
    slow = Shape(layers=4, width=512, heads=8, kv_heads=2, head=64, feed_forward=2048)
    return {
        "lab/smollm2:135m": None,
        "lab/alder:tiny": llama("alder", small_shape(16384)),
        "lab/willow:encoder": bert(),
        "lab/cedar:slow": llama("cedar", slow),
        "library/hazel:latest": llama("hazel", small_shape(8192)),
    }


class Mirror(SimpleHTTPRequestHandler):
    """Files of a folder, every request in a log."""

    def __init__(self, *arguments: Any, log: Path, **more: Any) -> None:
        self.log = log
        super().__init__(*arguments, **more)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"path": self.path, "host": self.client_address[0], "status": int(code)}) + "\n")

    def log_message(self, *_arguments: Any) -> None:
        pass


def fill_mirror(folder: Path) -> None:
    """The releases, and what may be wrong with one."""
    for version in VERSIONS:
        (folder / "good").mkdir(parents=True, exist_ok=True)
        (folder / "good" / f"v{version}").symlink_to(release(version))
    good = folder / "good" / f"v{NEXT}" / archive_name()
    corrupted, wrong = (folder / name / f"v{NEXT}" / archive_name() for name in ("corrupted", "wrong"))
    for archive in (corrupted, wrong):
        archive.parent.mkdir(parents=True)
    corrupted.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    corrupted.with_name(SUMS).write_text(sums_line(corrupted), encoding="ascii")
    wrong.symlink_to(good)
    wrong.with_name(SUMS).write_text(f"{'0123456789abcdef' * 4}  ./{archive_name()}\n", encoding="ascii")


def config_of(family: str, kind: str) -> bytes:
    """A model's configuration as Ollama writes it."""
    about = {"model_format": "gguf", "model_family": family, "model_families": [family], "model_type": "1M", "file_type": kind}
    system = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    return json.dumps({**about, **system}).encode()


def push_models(target: registry.Registry, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, model in models().items():
        repository, _colon, tag = name.partition(":")
        if model:
            layers = {"model": [model.write(folder).read_bytes()]}
            target.push(repository, tag, layers, config_of(model.architecture, "F16"))
        else:
            layers = {"model": [(engine("smollm2-135m") / "model.gguf").read_bytes()], "template": [CHATML.encode()]}
            layers["params"] = [json.dumps({"stop": ["<|im_start|>", "<|im_end|>"]}).encode()]
            target.push(repository, tag, layers, config_of("llama", "Q4_1"))


def push_moved(name: str) -> None:
    """Let a name of the registry mean another file, of the same size, from now on."""
    model, (repository, _colon, tag) = models()[name], name.partition(":")
    assert model, f"{name} is no generated model"
    weights = bytearray(model.write(BUILD / "models").read_bytes())
    # The last value of the last tensor.
    weights[-1] ^= 1
    target = registry.Registry(json.loads((BUILD / "pushes.json").read_text()), BUILD / "registry" / "storage")
    target.push(repository, tag, {"model": [bytes(weights)]}, config_of(model.architecture, "F16"))


@contextlib.contextmanager
def mirroring(address: str) -> Iterator[str]:
    """The mirror, until the end of the `with`; its address."""
    handler = functools.partial(Mirror, directory=str(BUILD / "mirror"), log=BUILD / "mirror.jsonl")
    server = ThreadingHTTPServer((address, 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()


@contextlib.contextmanager
def registering(address: str) -> Iterator[RegistryProxy]:
    """A registry with the models behind its proxy, until the end of the `with`."""
    storage = BUILD / "registry"
    storage.mkdir()
    with registry.running(storage) as behind:
        push_models(behind, BUILD / "models")
        # Where tests push: the proxy only hands out.
        (BUILD / "pushes.json").write_text(json.dumps(behind.host))
        proxy = RegistryProxy(behind.host, (address, 0), BUILD / "registry.json")
        threading.Thread(target=proxy.serve, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.stop()


def behave(**wanted: Any) -> None:
    """Tell the registry how to behave from now on; without a word: as it should."""
    unfinished = BUILD / "behaviour.unfinished"
    unfinished.write_text(json.dumps(dataclasses.asdict(Behaviour(**wanted))))
    unfinished.rename(BUILD / "behaviour.json")
    # The process that serves looks every 50 ms.
    time.sleep(0.2)


def serve() -> None:
    """Serve until told to end."""
    over = background.until_ended()
    address = json.loads((BUILD / "addresses.json").read_text())["bridge"]
    fill_mirror(BUILD / "mirror")
    ends = time.monotonic() + background.LIFE_S
    with mirroring(address) as url, registering(address) as proxy:
        background.announce(BUILD, releases=url, registry=proxy.host)
        while time.monotonic() < ends and not over.wait(0.05):
            # By itself the proxy writes only what is over.
            proxy.counts.write()
            with contextlib.suppress(OSError):
                proxy.behaviour = Behaviour(**json.loads((BUILD / "behaviour.json").read_text()))


def check() -> None:
    """Have everything that is served. Raises Unavailable of either kind, or BuildFailed."""
    registry.program()
    for version in VERSIONS:
        release(version)
    engine("smollm2-135m")


def up() -> None:
    """Start the process that serves and wait until it does."""
    check()
    background.clear(BUILD, "mirror", "registry", "behaviour.json", "registry.json")
    background.start(MODULE, BUILD)


def down() -> None:
    background.end(MODULE, BUILD)


if __name__ == "__main__":
    sys.exit(background.command(sys.argv[1:], {"check": check, "up": up, "down": down, "serve": serve}))
