"""Headers of models that are not here yet: from Ollama's registry, any other registry, Hugging Face or a plain address.

Only the beginning of a file is fetched (see http_range.py), and nothing at all where the digest is known from an earlier time.
Protocol: server/images.go and server/download.go of Ollama v0.34.1.
"""

from __future__ import annotations

import functools
import posixpath
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from .gguf_bytes import GgufError
from .gguf_header import Header, parse
from .gguf_split import joined, other_parts
from .header_cache import HeaderCache, default_directory
from .http_client import Answer, Client, checked_url, origin, without_secrets
from .http_range import FIRST_BYTES, RangeStream
from .model_header import ModelHeader, layers_header, with_origin
from .ollama_manifest import MAX_SETTINGS_BYTES, Layer, Manifest, read_json
from .ollama_names import ModelName, parse_model_name
from .registry_auth import ask
from .registry_source import ACCEPT, manifest_of, user_agent

# The official registry gives a model only to an Ollama that is new enough for it, and goes by the version in the user agent
# (ollama/ollama issues 14431 and 16483); gguf-parser-go v0.25.0 asks as this one, which is always new enough.
ANY_VERSION = "9.9.9"
# Behind the first part of a split model there are only tensors.
PART_FIRST_BYTES = 64 * 2**10


@dataclass(frozen=True)
class Remote:
    """How to reach servers.

    ``plain_http``: ask registries without TLS (what Ollama calls insecure). ``ca_file``: PEM file of a CA to trust beside the
    machine's own. ``engine_version``: the Ollama that is to run the model; a registry then refuses what is too new for it.
    ``time_limit_s``: for everything together. ``cache_directory``: where headers are kept, None for the user's own cache and ""
    for none.
    """

    plain_http: bool = False
    ca_file: str | None = None
    engine_version: str | None = None
    time_limit_s: float = 120.0
    cache_directory: str | None = None


def read_remote_header(source: str, remote: Remote | None = None, kind: str = "model") -> ModelHeader:
    """Header of a model that is elsewhere, its manifest where it has one, and how many bytes were received for all of it.

    ``source``: a name as Ollama understands it ("gemma3:27b", "hf.co/user/repository:Q4_K_M", "registry.lan:5000/team/model:tag")
    or the http(s) address of a GGUF file, of a split model its first. ``kind``: which layer of a named model is read: model,
    projector, draft or adapter. Raises GgufError, whose message says what to do.
    """
    reader = _Reader(remote or Remote())
    header = reader.from_address(source) if "://" in source else reader.from_registry(parse_model_name(source), kind)
    return replace(header, transferred_bytes=reader.client.received_bytes)


class _Reader:
    """One reading: a client with its deadline, and the cache."""

    def __init__(self, remote: Remote) -> None:
        agent = user_agent(remote.engine_version or ANY_VERSION)
        self.client = Client(remote.time_limit_s, remote.ca_file, agent)
        self._ask = functools.partial(ask, self.client)
        self._scheme = "http" if remote.plain_http else "https"
        directory = default_directory() if remote.cache_directory is None else remote.cache_directory
        self._cache = HeaderCache(directory) if directory else None

    def from_registry(self, name: ModelName, kind: str) -> ModelHeader:
        """The header of a named model."""
        if name.is_cloud:
            raise GgufError(f"{name}: runs in Ollama's cloud, there are no weights to read; take a tag without cloud")
        registry = checked_url(f"{self._scheme}://{name.host}/v2/{name.repository}")
        manifest = self._manifest(registry, name)

        def read(layer: Layer) -> Header:
            return self._layer_header(registry, name, layer)

        return layers_header(manifest, kind, str(name), read)

    def _manifest(self, registry: str, name: ModelName) -> Manifest:
        answer = self._ask(f"{registry}/manifests/{name.tag}", ACCEPT)
        _data, manifest = manifest_of(self.client, answer, str(name))
        parameters: dict[str, Any] = {}
        for layer in manifest.of_kind("params"):
            parameters.update(self._settings(registry, name, layer))
        config = self._settings(registry, name, manifest.config_layer) if manifest.config_layer else {}
        return replace(manifest, parameters=parameters, config=config)

    def _small(self, answer: Answer, limit_bytes: int) -> bytes:
        if answer.status != 200:
            raise self.client.refusal(answer)
        try:
            return self.client.read_all(answer, limit_bytes)
        finally:
            answer.body.close()

    def _settings(self, registry: str, name: ModelName, layer: Layer) -> dict[str, Any]:
        data = self._small(self._ask(f"{registry}/blobs/{layer.digest}", {}), MAX_SETTINGS_BYTES)
        return read_json(data, str(name), f"{layer.kind} layer")

    def _layer_header(self, registry: str, name: ModelName, layer: Layer) -> Header:
        server = origin(registry)
        kept = self._cache.get(server, layer.digest, str(name)) if self._cache else None
        if kept is not None and kept.file_bytes == layer.size_bytes:
            return kept
        with RangeStream(self.client, self._ask, f"{registry}/blobs/{layer.digest}") as stream:
            if stream.total_bytes not in (None, layer.size_bytes):
                got = f"the registry has {stream.total_bytes} bytes of {layer.digest[:19]}"
                raise GgufError(f"{name}: {got}, expected the {layer.size_bytes} of its manifest: push the model again")
            header = parse(stream, str(name), layer.size_bytes)
        if self._cache:
            self._cache.put(server, layer.digest, header)
        return header

    def from_address(self, url: str) -> ModelHeader:
        """The header of the file at an address and of the parts beside it."""
        checked_url(url)
        place = urlsplit(url)
        folder, file_name = posixpath.split(place.path)
        first, digest = self._file_header(url, FIRST_BYTES)
        headers, digests = [first], [digest]
        for part in other_parts(first, unquote(file_name)):
            path = posixpath.join(folder, quote(part))
            header, digest = self._file_header(urlunsplit(place._replace(path=path)), PART_FIRST_BYTES)
            headers.append(header)
            digests.append(digest)
        return with_origin(joined(headers), None, (f"sha256:{digest}" for digest in digests if digest))

    def _file_header(self, url: str, first_bytes: int) -> tuple[Header, str | None]:
        """The header of one file, and its digest where the server tells it (huggingface.co does)."""
        name, server = without_secrets(url), origin(url)
        with RangeStream(self.client, self._ask, url, first_bytes) as stream:
            digest = stream.linked_digest
            kept = self._cache.get(server, digest, name) if self._cache and digest else None
            if kept is not None and kept.file_bytes == stream.total_bytes:
                return kept, digest
            header = parse(stream, name, stream.total_bytes)
        if self._cache and digest:
            self._cache.put(server, digest, header)
        return header, digest
