"""One load by the rules of Ollama before 0.30: a layout of layers by their size, and a check of RAM for what stays there.

The first model takes what fits; every further one must fit whole, or a loaded one is evicted (llm/server.go
verifyLayout). What RAM and swap together cannot hold is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .admission_estimate import layers_of
from .admission_layout import Demand, Layers, Layout, layout
from .admission_memory import Attempt, Runner, Share, State, footprint, ram_free, room, seen_devices
from .admission_options import Asked, Setup
from .admission_prediction import Prediction, Seen, server_prediction
from .admission_rules import flash_attention, mib_text, minimum_memory, server_keep_alive_s
from .admission_types import MIB, Candidate, Event, Footprint, Placement, bytes_of

OWN_NUMBER = "the engine's own prediction"


@dataclass(frozen=True)
class _Load:
    candidate: Candidate
    wish: Asked
    seen: tuple[Seen, ...]
    layers: Layers
    found: Layout
    taken: Footprint
    basis: str

    @property
    def reported(self) -> dict[str, int]:
        """Bytes by device as the engine counts them: layers and graph."""
        return {name: size + self.layers.graph for name, (_, size) in sorted(self.found.placed.items())}

    @property
    def in_ram(self) -> int:
        graph = 0 if self.seen else self.layers.cpu_graph
        return self.layers.input_bytes + graph + self.layers.total - self.found.size


def attempt(setup: Setup, state: State, candidate: Candidate, wish: Asked) -> Attempt:
    """What comes of loading this model now: a runner, an eviction first, or a refusal."""
    load = _prepare(setup, state, candidate, wish)
    return _failure(setup, state, load) or _loaded(setup, state, load)


def _prepare(setup: Setup, state: State, candidate: Candidate, wish: Asked) -> _Load:
    seen = () if wish.num_gpu == 0 else seen_devices(setup, state)
    flash = flash_attention(setup.rules, setup.settings, tuple(item.device for item in seen))
    predicted = server_prediction(candidate, wish.context_tokens * wish.parallel)
    taken, basis = footprint(setup, candidate, predicted, wish, min(len(seen), 1), flash)
    layers = layers_of(setup, candidate, wish, taken, not seen)
    overhead = bytes_of(setup.settings.gpu_overhead_mib or 0.0)
    reserves = {item.device.name: minimum_memory(item.device) + overhead for item in seen}
    demand = Demand(wish.num_gpu, bool(state.runners), bool(setup.settings.sched_spread))
    found = layout(layers, seen, reserves, demand) if seen else Layout({})
    return _Load(candidate, wish, seen, layers, found, taken, basis)


def _failure(setup: Setup, state: State, load: _Load) -> Attempt | None:
    name, count = load.candidate.name, len(load.layers.sizes)
    ram = ram_free(state, setup.host)
    numbers = {"needed_mib": (load.layers.total + load.layers.graph) / MIB, "in_ram_mib": load.in_ram / MIB}
    if state.runners and load.seen and load.found.layers < count and not 0 <= load.wish.num_gpu <= load.found.layers:
        free = ", ".join(f"{item.device.name} {mib_text(item.free_bytes)}" for item in load.seen)
        sentence = (
            f"{name} needs {mib_text(load.layers.total)} for {count} layers and {mib_text(load.layers.graph)} for the graph on "
            f"each device; {load.found.layers} layers find room (free: {free}, less the reserve)"
        )
        return Attempt("evict", "all layers on devices", sentence, numbers)
    if ram is None:
        return None
    if state.runners and load.in_ram > ram:
        sentence = f"{name} needs {mib_text(load.in_ram)} of RAM, {mib_text(ram)} are free"
        return Attempt("evict", "free RAM", sentence, {**numbers, "free_mib": ram / MIB})
    swap = bytes_of(setup.host.swap_free_mib or 0.0)
    if load.in_ram > ram + swap and not setup.host.is_mac:
        sentence = (
            f"{name} is refused: it needs {mib_text(load.in_ram)} of RAM, {mib_text(ram)} and {mib_text(swap)} of swap are free."
        )
        return Attempt("refused", "RAM and swap", sentence, {**numbers, "free_mib": (ram + swap) / MIB})
    return None


def _loaded(setup: Setup, state: State, load: _Load) -> Attempt:
    placement = _placement(load)
    shares = tuple(_share(setup, state, load, name, size) for name, size in load.reported.items())
    wish = load.wish
    keep = server_keep_alive_s(setup.settings) if wish.keep_alive_s is None else wish.keep_alive_s
    counted = load.layers.total + load.layers.graph * max(len(load.found.used), 1)
    prediction = Prediction(counted, 0, "layout", mib_text(counted))
    asked = replace(wish, main_gpu=wish.main_gpu or 0)
    runner = Runner(load.candidate, asked, keep, prediction, placement, shares, _host_bytes(load), load.basis)
    numbers = {"needed_mib": counted / MIB, "in_ram_mib": load.in_ram / MIB}
    sentence = f"{load.found.layers} of {len(load.layers.sizes)} layers on devices, {mib_text(load.in_ram)} in RAM"
    return Attempt("loads", "layout", sentence, numbers, runner, tuple(_spill(load, placement)))


def _placement(load: _Load) -> Placement:
    if not load.found.used:
        return "cpu"
    if load.found.layers < len(load.layers.sizes):
        return "partial"
    return "split" if len(load.found.used) > 1 else "whole"


def _share(setup: Setup, state: State, load: _Load, name: str, reported: int) -> Share:
    device = next(item.device for item in load.seen if item.device.name == name)
    real = reported
    if load.basis != OWN_NUMBER and load.layers.total:
        extra = load.taken.split_extra_mib * (len(load.found.used) - 1)
        real = round(bytes_of(load.taken.device_mib + extra) * load.found.placed[name][1] / load.layers.total)
    return Share(name, real + bytes_of(load.taken.process_mib), reported, room(setup, state, device))


def _host_bytes(load: _Load) -> int:
    if load.basis == OWN_NUMBER:
        return load.in_ram
    if not load.found.used:
        whole = load.taken.device_mib + load.taken.host_mib if load.taken.cpu_mib is None else load.taken.cpu_mib
        return bytes_of(whole)
    left = 1 - load.found.size / load.layers.total if load.layers.total else 0.0
    return bytes_of(load.taken.host_mib + load.taken.device_mib * left)


def _spill(load: _Load, placement: Placement) -> Sequence[Event]:
    if not load.seen or placement in ("whole", "split") or load.wish.num_gpu >= 0:
        return []
    name, count = load.candidate.name, len(load.layers.sizes)
    left = f"{count - load.found.layers} of {count} layers of {name} stay in RAM"
    sentence = f"{left}, {mib_text(load.in_ram)} with the input: there is no more room on a device."
    numbers = {"spilled_mib": load.in_ram / MIB}
    return [Event("spills", name, "layout", sentence, tuple(sorted(load.found.used)), placement, numbers)]
