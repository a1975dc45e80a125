# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model that is to be present: which version is wanted, where it is to be had, and getting it from there.

The wanted version is the one of the registry (or of the mirror instead of it). The share of another host is used where it has
that very version, so that a model crosses the internet once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping, Protocol

from .blob_download import WrongAnswer, fetch_model
from .engine_pull import pull
from .gguf_bytes import GgufError
from .installed_model import Engine, Installed, Outcome
from .ollama_manifest import Layer, Manifest
from .registry_source import Source, mirror_of, own_registry, share_of
from .store_check import check_directory
from .store_write import all_layers
from .transfer_progress import Limits, ModelProblem, Progress

MIB = 2**20
SHOWN = 12


class Wanted(Protocol):
    """The options that say which version and from where."""

    @property
    def digest(self) -> str | None: ...
    @property
    def insecure(self) -> bool: ...
    @property
    def mirror(self) -> str | None: ...
    @property
    def copy_from(self) -> Mapping[str, Any] | None: ...
    @property
    def update(self) -> bool: ...


@dataclass(frozen=True)
class Offer:
    """A place that has the wanted version: its manifest and that one's bytes."""

    source: Source
    manifest: Manifest
    data: bytes


def present(engine: Engine, wanted: Wanted, check_mode: bool, limits: Limits, progress: Progress) -> Outcome:
    """Have the model in the wanted version. Raises ModelProblem, GgufError or RequestFailed."""
    version = engine.version()
    there = engine.installed()
    lacking = engine.lacking() if there else []
    whole = there if not lacking else None
    pin = re.sub("^sha256:", "", wanted.digest.lower()) if wanted.digest else None
    if there and whole and (there.digest == pin if pin else not wanted.update):
        said = "has the wanted digest" if pin else "is installed; its registry was not asked"
        return Outcome(engine, before=there, after=there, msg=said)
    try:
        offers, notes = _offers(engine, wanted, version, pin, limits)
    except GgufError as problem:
        if whole is None or pin:
            raise ModelProblem(_unreachable(str(problem), engine, version, pin, there, lacking)) from None
        note = f"stays as it is, because its newest version cannot be known: {problem}"
        return Outcome(engine, before=there, after=there, msg=note)
    manifest = offers[0].manifest
    if there and whole and there.digest == manifest.digest:
        return Outcome(engine, before=there, after=there, msg="; ".join([f"is the version of {offers[-1].source.place}", *notes]))
    if lacking:
        notes.append(f"{_count(lacking, ' of the installed one was', ' of the installed one were')} missing or cut short")
    check_directory(engine)
    _check_files(engine, offers[0])
    if check_mode:
        after = Installed(manifest.digest, manifest.total_bytes)
        via = offers[0].source.kind
        told = f"would be fetched from {offers[0].source.place} ({_mib(_missing(engine, manifest))})"
        return Outcome(engine, True, there, after, via, msg="; ".join([told, *notes]))
    return _get(engine, wanted, there, offers, notes, limits, progress)


def _offers(engine: Engine, wanted: Wanted, version: str, pin: str | None, limits: Limits) -> tuple[list[Offer], list[str]]:
    """The places that have the wanted version, the first to be used first, and what is to be told of the others."""
    if wanted.mirror:
        main = mirror_of(engine.name, wanted.mirror, wanted.insecure, version)
    else:
        main = own_registry(engine.name, wanted.insecure, version)
    copied, notes = _copy_offer(engine, wanted, limits)
    problem: str | None = None
    listed: list[Offer] = []
    try:
        data, manifest = main.manifest(limits)
        listed = [Offer(main, manifest, data)]
    except GgufError as error:
        problem = str(error)
    target = pin or (listed[0].manifest.digest if listed else copied.manifest.digest if copied else None)
    fitting = [offer for offer in [*([copied] if copied else []), *listed] if offer.manifest.digest == target]
    if copied and copied not in fitting:
        notes.append(f"the share at {copied.source.place} has another version, {copied.manifest.digest[:SHOWN]}…")
    if fitting:
        return fitting, [*notes, *([f"its registry was not reached ({problem})"] if problem else [])]
    if problem is not None:
        raise GgufError("; ".join([problem, *notes]))
    raise ModelProblem(
        f"got digest {listed[0].manifest.digest[:SHOWN]}… from {main.place}, expected {str(target)[:SHOWN]}…: nothing was "
        "fetched; take a registry or a share that has the pinned version, or pin the new one"
    )


def _copy_offer(engine: Engine, wanted: Wanted, limits: Limits) -> tuple[Offer | None, list[str]]:
    given = wanted.copy_from or {}
    if not given.get("url"):
        return None, []
    try:
        share = share_of(engine.name, str(given["url"]), str(given["token"]))
        data, manifest = share.manifest(limits)
    except GgufError as error:
        return None, [f"the share was of no use ({error})"]
    return Offer(share, manifest, data), []


def _unreachable(
    problem: str, engine: Engine, version: str, pin: str | None, there: Installed | None, lacking: list[Layer]
) -> str:
    state = "is not installed"
    if there:
        state = f"is installed with digest {there.digest[:SHOWN]}…, not the pinned {str(pin)[:SHOWN]}…"
    if lacking:
        state = f"is installed, but {_count(lacking, ' is', ' are')} missing or cut short"
    return f"{state}, and its files cannot be had: {problem} (engine {version} at {engine.url})"


def _count(layers: list[Layer], one: str, more: str) -> str:
    return f"{len(layers)} files{more}" if len(layers) > 1 else f"1 file{one}"


def _check_files(engine: Engine, offer: Offer) -> None:
    """Raises ModelProblem where there is nothing to keep, or no room for it."""
    manifest = offer.manifest
    if not manifest.of_kind("model") and not manifest.of_kind("tensor"):
        kinds = ", ".join(sorted(manifest.bytes_by_kind)) or "none"
        raise ModelProblem(f"got a model without weights (layers: {kinds}), expected a model layer: it may run in a cloud only")
    if engine.store is not None:
        engine.store.check_space(str(engine.name), engine.store.missing(manifest), offer.source.kind == "registry")


def _get(
    engine: Engine,
    wanted: Wanted,
    there: Installed | None,
    offers: list[Offer],
    notes: list[str],
    limits: Limits,
    progress: Progress,
) -> Outcome:
    """Fetch it from the first place that gives it."""
    replaced = engine.manifest() if there else None
    received = {"copy": 0, "mirror": 0, "registry": 0}
    for offer, following in zip(offers, [*offers[1:], None]):
        kind, place = offer.source.kind, offer.source.place
        _make_ready(engine, offer)
        to_fetch = _to_fetch(engine, offer)
        progress.event(f"{'pulling' if kind == 'registry' else 'fetching'} from {place}: {_mib(to_fetch)}")
        before = offer.source.client.received_bytes
        try:
            if kind == "registry":
                pull(engine.api, str(engine.name), wanted.insecure, offer.manifest, limits, progress)
                received[kind] += to_fetch
            else:
                _fetch(engine, offer, limits, progress)
            break
        except GgufError as error:
            if following is None:
                kept = "" if isinstance(error, WrongAnswer) else "; what was fetched is kept, run again to go on"
                raise ModelProblem(f"{error}{kept}") from None
            notes.append(f"the share failed ({error})")
            progress.event(f"{notes[-1]}; {following.source.place} is asked instead")
        finally:
            received[kind] += offer.source.client.received_bytes - before
    after = engine.verified(offer.manifest.digest)
    if engine.store is not None:
        engine.store.forget_partials(offer.manifest)
    engine.remove_replaced(replaced)
    told = f"fetched from {place} ({_mib(sum(received.values()))})"
    downloaded = received["mirror"] + received["registry"]
    return Outcome(engine, True, there, after, kind, downloaded, received["copy"], "; ".join([told, *notes]))


def _make_ready(engine: Engine, offer: Offer) -> None:
    """Room for the files, and none of them there that is not whole. Raises ModelProblem."""
    if engine.store is not None:
        layers = engine.store.missing(offer.manifest)
        engine.store.make_room(str(engine.name), layers, offer.source.kind == "registry")
        engine.store.drop_broken(layers)


def _fetch(engine: Engine, offer: Offer, limits: Limits, progress: Progress) -> None:
    if engine.store is None:
        raise ModelProblem("its files go into the engine's store, and models_directory is not known")
    fetch_model(offer.source, offer.manifest, offer.data, engine.store, limits, progress)


def _to_fetch(engine: Engine, offer: Offer) -> int:
    """Bytes that are still to come from a place, without what an interrupted transfer from there has left."""
    layers, store = _missing_layers(engine, offer.manifest), engine.store
    begun = 0
    if store is not None:
        begun = sum(store.pulled_bytes(layer) if offer.source.kind == "registry" else store.own_bytes(layer) for layer in layers)
    return sum(layer.size_bytes for layer in layers) - begun


def _missing(engine: Engine, manifest: Manifest) -> int:
    """Bytes of the layers that the engine does not have."""
    return sum(layer.size_bytes for layer in _missing_layers(engine, manifest))


def _missing_layers(engine: Engine, manifest: Manifest) -> list[Layer]:
    if engine.store is not None:
        return engine.store.missing(manifest)
    return [layer for layer in all_layers(manifest) if not engine.api.has_blob(layer.digest)]


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.1f} MiB"
