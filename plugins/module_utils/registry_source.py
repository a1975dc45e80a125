# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places that speak a registry's protocol and may have a model: its own registry, a mirror of it, the share of another host.

Protocol: server/images.go and server/download.go of Ollama v0.33.0.
"""

from __future__ import annotations

from typing import Mapping
from urllib.parse import quote

from .gguf_bytes import GgufError
from .http_client import Answer, Client, checked_url, without_secrets
from .ollama_manifest import MANIFEST_TYPE, MAX_MANIFEST_BYTES, OCI_MANIFEST_TYPE, Manifest, parse_manifest
from .ollama_names import ModelName
from .registry_auth import ask
from .transfer_progress import Limits

ACCEPT = {"Accept": f"{MANIFEST_TYPE}, {OCI_MANIFEST_TYPE}"}
# Of one small answer; what is long has a limit of its own.
ANSWER_S = 30.0


def user_agent(engine_version: str) -> str:
    """How an Ollama of this version introduces itself: a registry answers 412 to one that is too old for a model."""
    return f"ollama/{engine_version} (amd64 linux) homelab-llm"


def manifest_of(client: Client, answer: Answer, name: str) -> tuple[bytes, Manifest]:
    """Bytes and content of the manifest that a registry answered. Raises GgufError for any other answer."""
    if answer.status != 200:
        raise client.refusal(answer)
    try:
        data = client.read_all(answer, MAX_MANIFEST_BYTES)
    finally:
        answer.body.close()
    manifest = parse_manifest(data, name)
    said = answer.headers.get("docker-content-digest", "").lower()
    if said.startswith("sha256:") and said != f"sha256:{manifest.digest}":
        raise GgufError(f"{name}: its manifest has sha256 {manifest.digest[:12]}, the registry says {said[7:19]}: ask again")
    return data, manifest


class Source:
    """One place. ``kind``: registry, mirror or copy, as ``via`` of the module; ``place``: its address, fit for messages."""

    def __init__(self, kind: str, name: ModelName, address: str, repository: str, client: Client) -> None:
        self.kind = kind
        self.name = name
        self.place = without_secrets(address)
        self.client = client
        self._base = checked_url(f"{address}/v2/{quote(repository, safe='/:')}")

    def manifest(self, limits: Limits) -> tuple[bytes, Manifest]:
        """Bytes and content of the model's manifest there. Raises GgufError, ModelProblem where no time is left."""
        self.client.clock.start(min(ANSWER_S, limits.left_s()))
        answer = ask(self.client, f"{self._base}/manifests/{self.name.tag}", ACCEPT)
        return manifest_of(self.client, answer, str(self.name))

    def blob(self, digest: str, headers: Mapping[str, str], limit_s: float) -> Answer:
        """The answer to a GET of a blob, whatever its status. Raises GgufError where none comes within ``limit_s``."""
        self.client.clock.start(limit_s)
        return ask(self.client, f"{self._base}/blobs/{digest}", headers)


def own_registry(name: ModelName, insecure: bool, engine_version: str) -> Source:
    """The registry of the name."""
    address = f"{'http' if insecure else 'https'}://{name.host}"
    return Source("registry", name, address, name.repository, Client(ANSWER_S, user_agent=user_agent(engine_version)))


def mirror_of(name: ModelName, mirror: str, insecure: bool, engine_version: str) -> Source:
    """A mirror, as host[:port] or as an address, that has models under their plain repositories."""
    address = mirror if "://" in mirror else f"{'http' if insecure else 'https'}://{mirror}"
    return Source("mirror", name, address.rstrip("/"), name.repository, Client(ANSWER_S, user_agent=user_agent(engine_version)))


def shared_repository(name: ModelName) -> str:
    """The repository of a model in a share: with the host of its name, because a share has models of several registries."""
    return f"{name.host}/{name.repository}"


def share_of(name: ModelName, url: str, token: str) -> Source:
    """The share of another host of the fleet, which is asked directly and not by way of a proxy."""
    client = Client(ANSWER_S, use_proxies=False)
    source = Source("copy", name, url.rstrip("/"), shared_repository(name), client)
    client.authorize(url, f"Bearer {token}")
    return source
