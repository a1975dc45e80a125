"""Who holds which memory during a replay, and how much of it the engine believes to be free.

Two truths: what is really taken (buffers and each process's context) and what the engine reads out of llama-server's
log. Which one decides is not fixed: where a runner is on every device the engine asks an arbitrary one of each device,
which remembers what was free when it was loaded and knows nothing of who left since; otherwise it asks the driver.
``seen="real"`` always takes the driver's answer, ``seen="reported"`` the highest that a runner may give.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from .admission_options import Asked, Setup
from .admission_prediction import Prediction, Seen
from .admission_types import MIB, Accelerator, Candidate, EngineHost, Event, Footprint, Loading, Placement, bytes_of


@dataclass(frozen=True)
class Share:
    """A runner's part of one device in bytes: really taken, seen by the engine, and free there before it came."""

    device: str
    real_bytes: int
    reported_bytes: int
    free_before_bytes: int


@dataclass(frozen=True)
class Runner:
    """A loaded model: what was asked, what the engine predicted, where it lies."""

    candidate: Candidate
    asked: Asked
    keep_alive_s: float
    prediction: Prediction
    placement: Placement
    shares: tuple[Share, ...]
    host_bytes: int
    real_basis: str
    busy: bool = False

    @property
    def devices(self) -> tuple[str, ...]:
        return tuple(share.device for share in self.shares)

    @property
    def real_bytes(self) -> int:
        return sum(share.real_bytes for share in self.shares) + self.host_bytes


@dataclass(frozen=True)
class Attempt:
    """What came of one attempt to load: a runner, or the reason why not, said with its numbers.

    ``evict``: one runner has to go first. ``also``: what else happened on the way (a spill).
    """

    kind: Literal["loads", "evict", "out_of_memory", "refused"]
    rule: str
    sentence: str
    numbers: Mapping[str, float]
    runner: Runner | None = None
    also: tuple[Event, ...] = ()


@dataclass(frozen=True)
class State:
    """The scheduler between two requests: its runners in the order of loading, and what happened so far."""

    runners: tuple[Runner, ...] = ()
    events: tuple[Event, ...] = ()

    def runner(self, blob: str) -> Runner | None:
        return next((runner for runner in self.runners if runner.candidate.blob == blob), None)

    def without(self, blob: str) -> State:
        return replace(self, runners=tuple(runner for runner in self.runners if runner.candidate.blob != blob))

    def having(self, runner: Runner) -> State:
        """With this runner, in place of the one that had its blob."""
        place = [index for index, item in enumerate(self.runners) if item.candidate.blob == runner.candidate.blob]
        if not place:
            return replace(self, runners=(*self.runners, runner))
        return replace(self, runners=(*self.runners[: place[0]], runner, *self.runners[place[0] + 1 :]))

    def saying(self, *events: Event) -> State:
        return replace(self, events=(*self.events, *events))


def shares_on(runners: Iterable[Runner], device: str) -> list[Share]:
    return [share for runner in runners for share in runner.shares if share.device == device]


def really_free(state: State, device: Accelerator) -> int:
    """Bytes that nobody has taken on a device."""
    return max(0, device.free_bytes - sum(share.real_bytes for share in shares_on(state.runners, device.name)))


def ram_free(state: State, host: EngineHost) -> int | None:
    """Bytes of RAM that are left, or None where the host's RAM is not known; never below 0."""
    if host.ram_free_mib is None:
        return None
    shared = {device.name for device in host.devices if device.shares_ram}
    taken = sum(runner.host_bytes for runner in state.runners)
    taken += sum(share.real_bytes for runner in state.runners for share in runner.shares if share.device in shared)
    return max(0, bytes_of(host.ram_free_mib) - taken)


def room(setup: Setup, state: State, device: Accelerator) -> int:
    """Bytes that a load can really get on a device: of one that shares the RAM, no more than the RAM has left."""
    free = really_free(state, device)
    ram = ram_free(state, setup.host) if device.shares_ram else None
    return free if ram is None else min(free, ram)


def seen_devices(setup: Setup, state: State) -> tuple[Seen, ...]:
    """Every device with the free memory that the engine works with (discover.GPUDevices, then updateFreeSpace)."""
    devices = setup.host.devices
    asks_runners = all(shares_on(state.runners, device.name) for device in devices)
    return tuple(Seen(device, _seen_free(setup, state, device, asks_runners)) for device in devices)


def _seen_free(setup: Setup, state: State, device: Accelerator, asks_runners: bool) -> int:
    shares = shares_on(state.runners, device.name)
    accounted = max(0, device.total_bytes - sum(share.reported_bytes for share in shares))
    if device.library == "metal":
        # Metal is never asked again: what was free at the start, less what the log says.
        return min(device.free_bytes, accounted if setup.seen == "reported" else really_free(state, device))
    live = really_free(state, device)
    optimistic = setup.seen == "reported" and asks_runners and setup.rules.family == "eighty percent"
    if optimistic:
        live = max(max(0, share.free_before_bytes - share.reported_bytes) for share in shares)
    return min(live, accounted)


def footprint(
    setup: Setup, candidate: Candidate, predicted: Prediction, wish: Asked, devices: int, flash: bool
) -> tuple[Footprint, str]:
    """What this load really takes and whose number that is; the engine's own prediction stands in for an unknown one."""
    kind = setup.settings.kv_cache_type or "f16"
    loading = Loading(wish.context_tokens, wish.parallel, wish.num_batch, devices, flash, kind)
    measured = setup.measure(candidate, loading) if setup.measure else None
    if measured is not None:
        return measured, "predictor"
    if candidate.real is not None:
        return candidate.real, "given"
    return Footprint(device_mib=predicted.total_bytes / MIB), "the engine's own prediction"
