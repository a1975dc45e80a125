"""On which devices Ollama 0.30 and later puts a model, and what of it really finds room there.

Whole on one device where the prediction takes at most 80 % of what is free there (discrete before integrated, then the
one with most free memory), else spread over all devices of one library (server/sched.go selectLlamaServerPlacement).
llama-server then lowers the layers until its margin stays free, unless the layers were given (common/fit.cpp).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .admission_memory import Share, State, ram_free, room
from .admission_options import Asked, Setup
from .admission_prediction import FREE_PERCENT, Seen
from .admission_rules import DEFAULT_FIT_TARGET_MIB
from .admission_types import Candidate, Footprint, Placement, bytes_of


@dataclass(frozen=True)
class Choice:
    """The devices that a model is loaded onto; ``refusal``: llama-server does not start with this main_gpu."""

    devices: tuple[Seen, ...]
    refusal: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(seen.device.name for seen in self.devices)


def available(setup: Setup, state: State, seen: Seen) -> int:
    """What counts as free on one device: of RAM-sharing ones no more than the system has left (availableMemoryForGPU)."""
    ram = ram_free(state, setup.host)
    return min(seen.free_bytes, ram) if seen.device.shares_ram and ram else seen.free_bytes


def available_together(setup: Setup, state: State, group: Sequence[Seen]) -> int:
    """The sum of free memory of several devices, those that share the RAM limited by it once (availableMemoryForLoad)."""
    shared = sum(seen.free_bytes for seen in group if seen.device.shares_ram)
    discrete = sum(seen.free_bytes for seen in group if not seen.device.shares_ram)
    ram = ram_free(state, setup.host)
    return discrete + (min(shared, ram) if ram and shared else shared)


def choose(setup: Setup, state: State, seen: Sequence[Seen], predicted: int, wish: Asked) -> Choice:
    """The devices for a model of this predicted size; none for ``num_gpu: 0`` and on hosts without devices."""
    if not seen or wish.num_gpu == 0:
        return Choice(())
    if len(seen) == 1:
        return Choice(tuple(seen), _out_of_range(wish, 1))
    groups = by_library(seen)
    if wish.main_gpu is not None:
        pinned = [group[wish.main_gpu] for group in groups if 0 <= wish.main_gpu < len(group)]
        if pinned:
            return Choice((_best(setup, state, pinned),))
        group = _best_group(setup, state, groups)
        return Choice(group, _out_of_range(wish, len(group)))
    if not setup.settings.sched_spread and predicted > 0:
        fitting = [item for group in groups for item in group if predicted <= available(setup, state, item) * FREE_PERCENT // 100]
        if fitting:
            return Choice((_best(setup, state, fitting),))
    return Choice(_best_group(setup, state, groups))


def _out_of_range(wish: Asked, devices: int) -> str | None:
    if wish.main_gpu is None or 0 <= wish.main_gpu < devices:
        return None
    return f"main_gpu {wish.main_gpu} is none of the {devices} devices (counted from 0): llama-server does not start with it"


def by_library(seen: Sequence[Seen]) -> list[tuple[Seen, ...]]:
    """The devices by library, in the order in which libraries appear."""
    libraries = dict.fromkeys(item.device.library for item in seen)
    return [tuple(item for item in seen if item.device.library == library) for library in libraries]


def _best(setup: Setup, state: State, candidates: Sequence[Seen]) -> Seen:
    return max(candidates, key=lambda item: (not item.device.shares_ram, available(setup, state, item)))


def _best_group(setup: Setup, state: State, groups: Sequence[tuple[Seen, ...]]) -> tuple[Seen, ...]:
    def rank(group: tuple[Seen, ...]) -> tuple[bool, int]:
        return any(not item.device.shares_ram for item in group), available_together(setup, state, group)

    return max(groups, key=rank)


@dataclass(frozen=True)
class Allocation:
    """Where a load ends up in bytes. ``spilled``: layers left in RAM; ``missing``: an out-of-memory error by so much."""

    placement: Placement
    shares: tuple[Share, ...]
    host_bytes: int
    spilled_bytes: int = 0
    missing_bytes: int = 0


def allocate(setup: Setup, state: State, choice: Choice, candidate: Candidate, wish: Asked, taken: Footprint) -> Allocation:
    """What really happens to the memory when llama-server loads the model there."""
    if not choice.devices:
        cpu_mib = taken.device_mib + taken.host_mib if taken.cpu_mib is None else taken.cpu_mib
        return Allocation("cpu", (), bytes_of(cpu_mib))
    offloaded = offloaded_share(candidate, wish)
    needed = bytes_of((taken.device_mib + taken.split_extra_mib * (len(choice.devices) - 1)) * offloaded)
    host = bytes_of(taken.host_mib + taken.device_mib * (1 - offloaded))
    rooms = [room(setup, state, seen.device) for seen in choice.devices]
    process = bytes_of(taken.process_mib)
    wanted = _proportional(needed, rooms)
    reported = 1 - taken.unseen_mib / taken.device_mib if taken.device_mib else 1.0
    adjusts = setup.settings.fit is not False and wish.num_gpu < 0
    margin = bytes_of(DEFAULT_FIT_TARGET_MIB if setup.settings.fit_target_mib is None else setup.settings.fit_target_mib)
    limits = [max(0, free - process - (margin if adjusts else 0)) for free in rooms]
    spilled = 0
    if any(part > limit for part, limit in zip(wanted, limits, strict=True)):
        if not adjusts:
            missing = sum(max(0, part - limit) for part, limit in zip(wanted, limits, strict=True))
            return Allocation(_placed(choice, offloaded, 0), (), host, missing_bytes=missing)
        spilled = max(0, needed - sum(limits))
        wanted = list(limits) if spilled else _proportional(needed, limits)
    shares = tuple(
        Share(seen.device.name, part + process, round(part * reported), free)
        for seen, part, free in zip(choice.devices, wanted, rooms, strict=True)
    )
    return Allocation(_placed(choice, offloaded, spilled), _misread(setup, shares), host + spilled, spilled)


def _misread(setup: Setup, shares: tuple[Share, ...]) -> tuple[Share, ...]:
    """A model alone on a device that is not the first of its library goes unseen, and the device looks empty.

    Its llama-server may see that device only and logs it as number 0; the engine looks under the number that the device
    has among all (llm/llama_server.go VRAMByGPU, GetDeviceInfos; ollama issue 18349, open in v0.34.1).
    """
    if len(shares) != 1 or is_first_of_library(setup, shares[0].device):
        return shares
    total = next(device.total_bytes for device in setup.host.devices if device.name == shares[0].device)
    return (Share(shares[0].device, shares[0].real_bytes, 0, total),)


def is_first_of_library(setup: Setup, name: str) -> bool:
    """Is this the device that its library numbers 0?"""
    library = next(device.library for device in setup.host.devices if device.name == name)
    return next(device.name for device in setup.host.devices if device.library == library) == name


def offloaded_share(candidate: Candidate, wish: Asked) -> float:
    """The part of a model that ``num_gpu`` puts on devices; the output counts as one layer more."""
    if wish.num_gpu < 0 or candidate.shape is None:
        return 1.0
    return min(1.0, wish.num_gpu / (candidate.shape.block_count + 1))


def _placed(choice: Choice, offloaded: float, spilled: int) -> Placement:
    if offloaded < 1 or spilled:
        return "partial"
    return "split" if len(choice.devices) > 1 else "whole"


def _proportional(size: int, rooms: Sequence[int]) -> list[int]:
    """A size spread in proportion to the rooms; the last part takes what rounding leaves."""
    weights = rooms if sum(rooms) else [1] * len(rooms)
    parts = [size * weight // sum(weights) for weight in weights[:-1]]
    return [*parts, size - sum(parts)]
