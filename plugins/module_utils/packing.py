"""Which of a host's models goes on which accelerator, so that all are in memory at once; and if they do not fit, what spills.

Exhaustive: resident sets are a handful of models on a handful of accelerators.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Iterator, Mapping, Protocol, Sequence

from .memory import ModelFiles, Prediction, predict
from .memory_settings import Pool, Settings

GIB_IN_MIB = 1024
# What a Mac lets its GPU use of the memory (recommendedMaxWorkingSetSize, which ggml-metal takes for the device's memory):
# about 2/3 of it below 36 GiB and 3/4 above, as reported for 16, 36, 64 and 128 GiB; iogpu.wired_limit_mb overrides it.
WORKING_SET_BELOW_36_GIB = 2 / 3
WORKING_SET_FROM_36_GIB = 3 / 4
DEFAULT_BACKENDS = {"gpu": "cuda", "unified": "metal", "cpu": "cpu"}


@dataclass(frozen=True)
class Budget:
    """What models may use of one accelerator, in MiB. ``wired_limit_mib``: what was set on a Mac, None for the system's own.

    ``backend`` None: cuda for a gpu, metal for unified memory.
    """

    name: str
    kind: str
    memory_mib: float
    reserved_mib: float = 0.0
    headroom_mib: float = 0.0
    bandwidth_gb_s: float | None = None
    wired_limit_mib: float | None = None
    backend: str | None = None

    @property
    def library(self) -> str:
        """What the engine computes with."""
        return self.backend or DEFAULT_BACKENDS[self.kind]

    @property
    def ram_mib(self) -> float:
        """Memory less what others use less headroom."""
        return self.memory_mib - self.reserved_mib - self.headroom_mib

    @property
    def budget_mib(self) -> float:
        """The same, and on a Mac not more than its GPU may use, less headroom."""
        if self.kind != "unified" or self.library != "metal":
            return self.ram_mib
        return min(self.ram_mib, working_set_mib(self.memory_mib, self.wired_limit_mib) - self.headroom_mib)


def working_set_mib(memory_mib: float, wired_limit_mib: float | None = None) -> float:
    """What the GPU of a Mac may use of its memory."""
    if wired_limit_mib:
        return min(wired_limit_mib, memory_mib)
    share = WORKING_SET_BELOW_36_GIB if memory_mib < 36 * GIB_IN_MIB else WORKING_SET_FROM_36_GIB
    return memory_mib * share


@dataclass(frozen=True)
class Load:
    """What one model takes in one placement: MiB by accelerator, and of the host's memory beside them.

    ``host_mib`` None: not known. ``prediction`` None: only a total was declared.
    """

    accelerator_mib: tuple[tuple[str, float], ...]
    host_mib: float | None
    prediction: Prediction | None = None

    @property
    def total_mib(self) -> float:
        return sum(size for _name, size in self.accelerator_mib)


class Demand(Protocol):
    """A model that wants memory."""

    def layers(self) -> int | None:
        """How many layers it has, the output counted; None where that is not known."""

    def load(self, pools: tuple[Pool, ...], layers: int | None = None) -> Load:
        """What it takes on these pools (one, or several that share it), with so many layers on them (None: all)."""


@dataclass(frozen=True)
class PredictedDemand:
    """A model whose header is known."""

    model: ModelFiles
    settings: Settings

    def layers(self) -> int | None:
        return len(self.model.shape.layers) + 1

    def load(self, pools: tuple[Pool, ...], layers: int | None = None) -> Load:
        return _predicted(self, pools, layers)


@lru_cache(maxsize=4096)
def _predicted(demand: PredictedDemand, pools: tuple[Pool, ...], layers: int | None) -> Load:
    settings = demand.settings if layers is None else replace(demand.settings, gpu_layers=layers)
    found = predict(demand.model, settings, pools)
    if pools[0].kind == "cpu":
        return Load(((pools[0].name, found.total_mib),), 0.0, found)
    sizes = tuple((parts.name, parts.total_mib) for parts in found.accelerators)
    return Load(sizes, found.host.total_mib, found)


@dataclass(frozen=True)
class DeclaredDemand:
    """A model of which only somebody's word for its total is known. Split, its parts follow the free memory."""

    total_mib: float

    def layers(self) -> int | None:
        return None

    def load(self, pools: tuple[Pool, ...], layers: int | None = None) -> Load:
        free = sum(pool.free_mib for pool in pools)
        shares = [pool.free_mib / free if free > 0 else 1 / len(pools) for pool in pools]
        return Load(tuple((pool.name, self.total_mib * share) for pool, share in zip(pools, shares)), None)


@dataclass(frozen=True)
class Placed:
    """Where one model is. Several accelerators: it is split. ``spilled_mib`` of it, in ``spilled_layers``, are on none."""

    model: str
    load: Load
    spilled_layers: int | None = 0
    spilled_mib: float = 0.0

    @property
    def accelerators(self) -> tuple[str, ...]:
        return tuple(name for name, size in self.load.accelerator_mib if size > 0)


@dataclass(frozen=True)
class HostFit:
    """The best placement of a host's models. ``free_mib``: what is left of each accelerator's budget.

    ``ram_needed_mib``: of the host's memory beside the accelerators; ``ram_budget_mib`` None: how much there is was not said.
    """

    placed: tuple[Placed, ...]
    free_mib: Mapping[str, float]
    ram_needed_mib: float
    ram_budget_mib: float | None

    @property
    def spills(self) -> bool:
        return any(item.spilled_mib > 0 for item in self.placed)

    @property
    def spilled_mib(self) -> float:
        return sum(item.spilled_mib for item in self.placed)

    @property
    def ram_missing_mib(self) -> float:
        """How much more memory the host would need, 0 where it has enough or nobody knows."""
        return 0.0 if self.ram_budget_mib is None else max(self.ram_needed_mib - self.ram_budget_mib, 0.0)

    @property
    def fits(self) -> bool:
        return not self.spills and self.ram_missing_mib == 0


@dataclass(frozen=True)
class _Room:
    """What is left while models are placed."""

    free_mib: tuple[float, ...]
    ram_mib: float

    def less(self, taken: Sequence[float], ram_mib: float) -> _Room:
        return _Room(tuple(free - size for free, size in zip(self.free_mib, taken)), self.ram_mib - ram_mib)

    @property
    def enough(self) -> bool:
        return min(self.free_mib, default=0.0) >= -ROUNDING_MIB and self.ram_mib >= -ROUNDING_MIB


ROUNDING_MIB = 1e-6


# A search that took more steps would be no handful of models; it ends as if there were no way.
MAX_STEPS = 5_000


class Host:
    """The memories of a host and the models that want them."""

    def __init__(self, demands: Mapping[str, Demand], budgets: Sequence[Budget], cpu_too: bool = False) -> None:
        self.demands = demands
        self.steps = 0
        self.dead_ends: set[tuple[int, int, tuple[float, ...]]] = set()
        self.budgets = list(budgets)
        graphic = [index for index, budget in enumerate(self.budgets) if budget.kind != "cpu"]
        processors = [index for index, budget in enumerate(self.budgets) if budget.kind == "cpu"]
        # Without a GPU models run on the CPU; beside one they do only where somebody asks the engine for it.
        self.wholes = (graphic + processors if cpu_too else graphic) or processors
        self.splits = tuple(index for index in graphic if self.budgets[index].kind == "gpu")
        self.ram_index = processors[0] if processors else None
        self.unified = next((index for index in graphic if self.budgets[index].kind == "unified"), None)

    def room(self) -> _Room:
        free = tuple(budget.budget_mib for budget in self.budgets)
        ram = self.budgets[self.unified].ram_mib if self.unified is not None else float("inf")
        return _Room(free, ram)

    def pools(self, indices: Sequence[int], room: _Room) -> tuple[Pool, ...]:
        """The accelerators as an engine finds them: several share a model in proportion to what is free."""
        single = len(indices) == 1
        return tuple(
            Pool(budget.name, budget.kind, 1.0 if single else max(room.free_mib[index], 0.0), budget.library)
            for index, budget in ((index, self.budgets[index]) for index in indices)
        )

    def after(self, load: Load, room: _Room) -> _Room:
        """What is left once a model is loaded: its part of each accelerator, and of the memory that the host has beside."""
        taken = dict(load.accelerator_mib)
        sizes = [taken.get(budget.name, 0.0) for budget in self.budgets]
        host = load.host_mib or 0.0
        if self.unified is not None:
            return room.less(sizes, host + taken.get(self.budgets[self.unified].name, 0.0))
        if self.ram_index is not None and self.budgets[self.ram_index].name not in taken:
            sizes[self.ram_index] += host
        return room.less(sizes, 0.0)

    def choices(self, room: _Room, split: bool) -> Iterator[tuple[int, ...]]:
        """Accelerators for one model: the emptiest first, alike ones once, a CPU behind them; a split last."""
        seen = set()
        for index in sorted(self.wholes, key=lambda index: (self.budgets[index].kind == "cpu", -room.free_mib[index], index)):
            alike = (self.budgets[index].kind, self.budgets[index].library, room.free_mib[index])
            if alike not in seen:
                seen.add(alike)
                yield (index,)
        if split and len(self.splits) > 1:
            yield self.splits

    def roomiest(self, room: _Room) -> Iterator[tuple[int, ...]]:
        """Of each kind of accelerator the emptiest, on which the least is left out; a split last."""
        seen = set()
        for indices in self.choices(room, True):
            kind = (len(indices), self.budgets[indices[0]].kind, self.budgets[indices[0]].library)
            if kind not in seen:
                seen.add(kind)
                yield indices

    def search(self, order: Sequence[str], room: _Room, splits: int) -> list[Placed] | None:
        """Every model whole on one accelerator, but at most ``splits`` of them shared by all; None where there is no way."""
        if not order:
            return []
        state = (len(order), splits, (*room.free_mib, room.ram_mib))
        self.steps += 1
        if state in self.dead_ends or self.steps > MAX_STEPS:
            return None
        demand = self.demands[order[0]]
        for indices in self.choices(room, splits > 0):
            load = demand.load(self.pools(indices, room))
            left = self.after(load, room)
            if left.enough:
                rest = self.search(order[1:], left, splits - (len(indices) > 1))
                if rest is not None:
                    return [Placed(order[0], load), *rest]
        self.dead_ends.add(state)
        return None

    def spilled(self, name: str, room: _Room) -> Placed:
        """The placement of a model that leaves the least of it outside the accelerators."""
        best: Placed | None = None
        for indices in self.roomiest(room):
            found = self.squeezed(name, indices, room)
            if best is None or found.spilled_mib < best.spilled_mib - ROUNDING_MIB:
                best = found
        if best is None:
            raise ValueError("a host without accelerators")
        return best

    def squeezed(self, name: str, indices: tuple[int, ...], room: _Room) -> Placed:
        """As many layers of a model on these accelerators as there is room for; the others are on the CPU."""
        demand, pools = self.demands[name], self.pools(indices, room)
        whole = demand.load(pools)
        missing = sum(max(size - room.free_mib[index], 0.0) for index, (_name, size) in zip(indices, whole.accelerator_mib))
        layers = demand.layers()
        if missing <= ROUNDING_MIB:
            return Placed(name, whole)
        if layers is None or pools[0].kind == "cpu":
            return Placed(name, whole, None, missing)
        low, high = 0, layers
        while low < high:
            middle = (low + high + 1) // 2
            sizes = demand.load(pools, middle).accelerator_mib
            fits = all(size <= room.free_mib[index] for index, (_name, size) in zip(indices, sizes))
            low, high = (middle, high) if fits else (low, middle - 1)
        load = demand.load(pools, low)
        return Placed(name, load, layers - low, whole.total_mib - load.total_mib)


def fit_host(demands: Mapping[str, Demand], budgets: Sequence[Budget], cpu_too: bool = False) -> HostFit:
    """The models of a host on its accelerators: whole where possible, with as few splits as possible; else with spills.

    ``cpu_too``: models may also be put on a cpu pool of a host with GPUs. A cpu pool beside a GPU is the host's own memory.
    """
    host = Host(demands, budgets, cpu_too)
    start = host.room()
    order = _largest_first(host, start)
    found = _whole(host, order, start)
    if found is not None:
        return _host_fit(host, found)
    room, placed = start, []
    for name in order:
        placed.append(host.spilled(name, room))
        # What found no room takes none from those that follow: each lack is counted once.
        left = host.after(placed[-1].load, room)
        room = _Room(tuple(max(free, 0.0) for free in left.free_mib), left.ram_mib)
    return _host_fit(host, placed)


def fits_on_host(demands: Mapping[str, Demand], budgets: Sequence[Budget], cpu_too: bool = False) -> bool:
    """Whether ``fit_host`` would find room for everything; where it would not, this is known much sooner."""
    host = Host(demands, budgets, cpu_too)
    start = host.room()
    found = _whole(host, _largest_first(host, start), start)
    return found is not None and _host_fit(host, found).fits


def _largest_first(host: Host, start: _Room) -> list[str]:
    sizes = _sizes_alone(host, start)
    return sorted(sizes, key=lambda name: (-sizes[name], name))


def _sizes_alone(host: Host, start: _Room) -> dict[str, float]:
    """What each model takes of one accelerator."""
    pools = host.pools(host.wholes[:1], start)
    return {name: demand.load(pools).total_mib for name, demand in host.demands.items()}


def _whole(host: Host, order: Sequence[str], start: _Room) -> list[Placed] | None:
    """A placement without spills, with as few splits as possible; None where there is none."""
    needed_mib = sum(_sizes_alone(host, start).values())
    room_mib = sum(max(start.free_mib[index], 0.0) for index in host.wholes)
    alike = len({host.budgets[index].kind for index in host.wholes}) == 1
    if alike and needed_mib > room_mib + ROUNDING_MIB:
        return None
    for splits in range(len(order) + 1 if len(host.splits) > 1 else 1):
        found = host.search(order, start, splits)
        if found is not None:
            return found
    return None


def _host_fit(host: Host, placed: Sequence[Placed]) -> HostFit:
    room = host.room()
    for item in placed:
        room = host.after(item.load, room)
    names = [item.model for item in placed]
    order = sorted(placed, key=lambda item: list(host.demands).index(item.model)) if names else []
    beside = sum(item.load.host_mib or 0.0 for item in placed)
    needed, budget = beside, None
    if host.unified is not None:
        needed, budget = beside + sum(item.load.total_mib for item in placed), host.budgets[host.unified].ram_mib
    elif host.ram_index is not None:
        ram = host.budgets[host.ram_index]
        needed, budget = ram.budget_mib - room.free_mib[host.ram_index], ram.budget_mib
    free = {budget.name: left for budget, left in zip(host.budgets, room.free_mib)}
    return HostFit(tuple(order), free, needed, budget)
