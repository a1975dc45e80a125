"""A real Ollama with models that need no weights: started, asked, and looked at, for tests of what its scheduler does."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# One that is forgotten, because its test was killed, ends by itself with what it started.
LIFE_S = 300
STAND_IN = Path(__file__).with_name("simulated_llama_server.py")
UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9
ALIGNMENT = 32


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _items(values: Sequence[Any]) -> bytes:
    if isinstance(values[0], str):
        return struct.pack("<IQ", STRING, len(values)) + b"".join(_text(value) for value in values)
    kind, letter = (FLOAT32, "f") if isinstance(values[0], float) else (INT32, "i")
    return struct.pack("<IQ", kind, len(values)) + struct.pack(f"<{len(values)}{letter}", *values)


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _text(value)
    if isinstance(value, list):
        return struct.pack("<I", ARRAY) + _items(value)
    if isinstance(value, float):
        return struct.pack("<If", FLOAT32, value)
    return struct.pack("<II", UINT32, value)


def header(metadata: Mapping[str, Any], tensors: Mapping[str, Sequence[int]] | None = None) -> tuple[bytes, int]:
    """A GGUF header, and the bytes of a whole file whose tensors (name -> shape) are all float32."""
    pairs = b"".join(_text(key) + _value(value) for key, value in metadata.items())
    infos, offset = b"", 0
    for name, shape in (tensors or {}).items():
        infos += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += -(-4 * math.prod(shape) // ALIGNMENT) * ALIGNMENT
    data = b"GGUF" + struct.pack("<IQQ", 3, len(tensors or {}), len(metadata)) + pairs + infos
    data += b"\0" * (-len(data) % ALIGNMENT)
    return data, len(data) + offset


def tiny_llama(context_length: int = 8192) -> tuple[dict[str, Any], dict[str, Sequence[int]]]:
    """Metadata and tensors of a model that llama.cpp loads and that knows nothing: two layers of width 64."""
    bytes_ = [f"<0x{number:02X}>" for number in range(256)]
    tokens = ["<unk>", "<s>", "</s>", *bytes_, "\u2581", "a"]
    kinds = [2, 3, 3, *[6] * 256, 1, 1]
    keys = {"block_count": 2, "embedding_length": 64, "context_length": context_length, "feed_forward_length": 128}
    keys |= {"attention.head_count": 4, "attention.head_count_kv": 2, "attention.layer_norm_rms_epsilon": 1e-5}
    keys |= {"rope.dimension_count": 16, "vocab_size": len(tokens)}
    metadata: dict[str, Any] = {"general.architecture": "llama", **{f"llama.{key}": value for key, value in keys.items()}}
    metadata |= {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": kinds}
    metadata |= {"tokenizer.ggml.scores": [0.0] * len(tokens), "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2}
    tensors: dict[str, Sequence[int]] = {"token_embd.weight": (64, len(tokens)), "output_norm.weight": (64,)}
    shapes = {"attn_norm": (64,), "attn_q": (64, 64), "attn_k": (64, 32), "attn_v": (64, 32), "attn_output": (64, 64)}
    shapes |= {"ffn_norm": (64,), "ffn_gate": (64, 128), "ffn_up": (64, 128), "ffn_down": (128, 64)}
    for layer in range(2):
        tensors |= {f"blk.{layer}.{name}.weight": shape for name, shape in shapes.items()}
    return metadata, tensors


@dataclass(frozen=True)
class StoredModel:
    """A name in the engine's store: header, size of its (sparse) file, Modelfile parameters, and what the stand-in takes."""

    name: str
    metadata: Mapping[str, Any]
    file_bytes: int
    blob_seed: str
    tensors: Mapping[str, Sequence[int]] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    device_mib: float = 0.0
    process_mib: float = 0.0
    unseen_mib: float = 0.0

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.blob_seed.encode()).hexdigest()

    @property
    def architecture(self) -> str:
        return str(self.metadata["general.architecture"])

    @property
    def size(self) -> dict[str, float]:
        """What the stand-in takes for it."""
        layers = self.metadata[f"{self.architecture}.block_count"]
        return {"device_mib": self.device_mib, "process_mib": self.process_mib, "unseen_mib": self.unseen_mib, "layers": layers}


class Store:
    """``OLLAMA_MODELS``, written by hand: manifests, blobs, and sparse model files."""

    def __init__(self, root: Path) -> None:
        self.blobs, self.manifests = root / "blobs", root / "manifests/registry.ollama.ai/library"
        self.blobs.mkdir(parents=True)

    def add(self, model: StoredModel) -> None:
        path = self.blobs / f"sha256-{model.digest}"
        if not path.exists():
            path.write_bytes(header(model.metadata, model.tensors)[0])
            os.truncate(path, model.file_bytes)
        kind = "application/vnd.ollama.image.model"
        layers = [{"mediaType": kind, "digest": f"sha256:{model.digest}", "size": model.file_bytes}]
        if model.parameters:
            layers.append(self._layer("application/vnd.ollama.image.params", dict(model.parameters)))
        config = {"model_format": "gguf", "model_family": model.architecture, "model_families": [model.architecture]}
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": self._layer("application/vnd.docker.container.image.v1+json", config),
            "layers": layers,
        }
        folder = self.manifests / model.name
        folder.mkdir(parents=True)
        (folder / "latest").write_text(json.dumps(manifest))

    def _layer(self, kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
        data = json.dumps(content).encode()
        digest = hashlib.sha256(data).hexdigest()
        (self.blobs / f"sha256-{digest}").write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


@dataclass
class Engine:
    """A running Ollama."""

    url: str
    log: Path

    def call(self, path: str, body: Mapping[str, Any] | None = None, timeout_s: float = 60.0) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout_s) as reply:
            answer: dict[str, Any] = json.loads(reply.read())
        return answer

    def ask(self, name: str, *, embedding: bool = False, **more: Any) -> str | None:
        """Load a model as a client's request does; the engine's error, or None."""
        path = "/api/embed" if embedding else "/api/generate"
        try:
            self.call(path, {"model": name, "stream": False, **more})
        except urllib.error.HTTPError as error:
            return error.read().decode()
        return None

    def loaded(self) -> dict[str, dict[str, Any]]:
        """Name without its tag -> what /api/ps says of it."""
        return {item["name"].split(":")[0]: item for item in self.call("/api/ps")["models"]}

    def version(self) -> str:
        return str(self.call("/api/version")["version"])

    def held(self, root: Path) -> dict[str, tuple[int, tuple[str, ...]]]:
        """Model file -> process and devices, for the stand-in's processes that are alive."""
        found = {}
        for path in (root / "state").glob("*.json"):
            if alive(int(path.stem)):
                held = json.loads(path.read_text())
                model = held.pop("model")
                found[model] = int(path.stem), tuple(sorted(f"gpu{device}" for device in held))
        return found


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def version_of(binary: Path) -> str:
    """What a binary says of itself: ``client version is 0.33.0``."""
    environment = {**os.environ, "OLLAMA_HOST": "127.0.0.1:1"}
    said = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=60, env=environment, check=False)
    return said.stdout.split()[-1] if said.stdout.split() else "0.0.0"


def _port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def ollama(
    binary: Path,
    root: Path,
    models: Sequence[StoredModel],
    environment: Mapping[str, str],
    devices: Sequence[Mapping[str, Any]] | None = None,
) -> Iterator[Engine]:
    """Start an Ollama with these models and settings; with ``devices`` its llama-server is the stand-in."""
    store = Store(root / "models")
    for model in models:
        store.add(model)
    exe = binary if devices is None else _tree(binary, root, models)
    state = root / "state"
    state.mkdir()
    port = _port()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OLLAMA_", "LLAMA_ARG_", "CUDA_", "GGML_"))}
    mine = {
        "HOME": str(root),
        "OLLAMA_HOST": f"127.0.0.1:{port}",
        "OLLAMA_MODELS": str(root / "models"),
        "OLLAMA_NOPRUNE": "1",
        "OLLAMA_NO_CLOUD": "1",
        "OLLAMA_DEBUG": "1",
        "OLLAMA_IGPU_ENABLE": "1",
        "SIMULATED_STATE": str(state),
        "SIMULATED_SIZES": str(root / "sizes.json"),
        "SIMULATED_DEVICES": json.dumps(list(devices or [])),
    }
    log = root / "ollama.log"
    with log.open("wb") as output:
        environment = {**kept, **mine, **environment}
        command = ["timeout", "--kill-after=15", str(LIFE_S), str(exe), "serve"]
        process = subprocess.Popen(command, env=environment, cwd=root, stdout=output, stderr=output, start_new_session=True)
        engine = Engine(f"http://127.0.0.1:{port}", log)
        try:
            _await(engine, process)
            yield engine
        finally:
            _end(process)


def _tree(binary: Path, root: Path, models: Sequence[StoredModel]) -> Path:
    """The engine's layout with the stand-in in it: Ollama looks for llama-server beside its own resolved path."""
    exe, library = root / "bin/ollama", root / "lib/ollama"
    exe.parent.mkdir()
    (library / "cuda_v12").mkdir(parents=True)
    try:
        os.link(binary, exe)
    except OSError:
        shutil.copy2(binary, exe)
    runner = library / "llama-server"
    runner.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" "$@"\n')
    runner.chmod(0o755)
    (library / "cuda_v12/libggml-cuda.so").touch()
    sizes = {f"sha256-{model.digest}": model.size for model in models}
    (root / "sizes.json").write_text(json.dumps(sizes))
    return exe


def _await(engine: Engine, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"ollama ended with {process.returncode}: {engine.log.read_text(errors='replace')[-2000:]}")
        try:
            engine.version()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("ollama did not answer within 60 s")


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
