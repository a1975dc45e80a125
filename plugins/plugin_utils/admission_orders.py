"""The order of loading with which nothing is evicted, searched as a tree whose dead branches are cut.

Each further model is a step from the state before it; a step that evicts, restarts, refuses or spills ends its branch. Two
branches that have loaded the same models and left the same memory free have the same future, so one of them is enough.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from .admission_memory import Share, State, really_free
from .admission_options import Setup, asked
from .admission_prediction import all_tokens, server_prediction
from .admission_replay import FAULTS
from .admission_rules import DEFAULT_FIT_TARGET_MIB
from .admission_steps import serve
from .admission_types import Candidate, Request, bytes_of

# All orders are tried up to this many models; above it only those that sort them by size.
ALL_ORDERS_UP_TO = 7
# Loads that one search, and all searches of one mend together, may replay before they give up: half a second, two seconds.
MOST_STEPS = 3000
MOST_STEPS_IN_ALL = 12000
FAULTY = frozenset(kind for kind, _ in FAULTS) - {"expires"}

Order = tuple[Candidate, ...]
States = tuple[State, ...]


@dataclass
class Steps:
    """Loads that may still be replayed; ``gave_up`` when a search ended for the want of them."""

    left: int = MOST_STEPS_IN_ALL
    gave_up: bool = False


def staying_order(setup: Setup, models: Sequence[Candidate], pins: int = 0, steps: Steps | None = None) -> Order | None:
    """An order in which all stay, the given and the largest first tried first; None where none was found.

    ``pins``: so many models may be given a ``main_gpu`` for it; the candidates of the answer carry it. ``steps`` is what
    several searches have together.
    """
    search = _Search(setup, pins, steps or Steps())
    for order in _sorted_orders(setup, models):
        if search.stays(order):
            return order
    if len(models) > ALL_ORDERS_UP_TO and not pins:
        return None
    return search.complete(search.start(), (), _largest_first(setup, models), pins)


def predicted_bytes(setup: Setup, model: Candidate) -> int:
    """What the engine predicts for a model as it is set up here."""
    return server_prediction(model, all_tokens(asked(setup, model, Request(model.name)))).total_bytes


def _largest_first(setup: Setup, models: Sequence[Candidate]) -> Order:
    return tuple(sorted(models, key=lambda model: (-predicted_bytes(setup, model), model.name)))


def _sorted_orders(setup: Setup, models: Sequence[Candidate]) -> Iterator[Order]:
    """As given, largest predicted first, largest real first, most over-predicted first, and smallest first."""

    def real(model: Candidate) -> float:
        return model.real.device_mib if model.real else predicted_bytes(setup, model)

    def surplus(model: Candidate) -> float:
        return predicted_bytes(setup, model) / 2**20 - real(model)

    yield tuple(models)
    largest = _largest_first(setup, models)
    yield largest
    yield tuple(sorted(models, key=lambda model: (-real(model), model.name)))
    yield tuple(sorted(models, key=lambda model: (-surplus(model), model.name)))
    yield largest[::-1]


@dataclass
class _Search:
    """One search: its setup, the branches known to be dead, and the steps it has taken.

    A branch carries one state for each reading of free memory, all of which must stay.
    """

    setup: Setup
    pins: int
    steps: Steps
    dead: set[Hashable] = field(default_factory=set)
    taken: int = 0

    def start(self) -> States:
        return tuple(State() for _ in self.setup.readings())

    def stays(self, order: Order) -> bool:
        states: States | None = self.start()
        for model in order:
            states = self._loaded(states, model) if states else None
        return states is not None

    def complete(self, states: States, done: Order, left: Order, pins: int) -> Order | None:
        """The rest of an order that begins with ``done``, or None; ``pins`` are left to give."""
        if not left:
            return done
        key = self._future(states, left, pins)
        if key in self.dead or any(hopeless(self.setup, state, left) for state in states):
            return None
        for model, rest in _choices(left):
            for pinned in self._pinned(model, pins):
                after = self._loaded(states, pinned)
                used = pins - (pinned is not model)
                found = self.complete(after, (*done, pinned), rest, used) if after else None
                if found:
                    return found
        self.dead.add(key)
        return None

    def _loaded(self, states: States, model: Candidate) -> States | None:
        """The states with this model loaded too, or None where somebody has to suffer for it."""
        if self.taken >= MOST_STEPS or not self.steps.left:
            self.steps.gave_up = True
            return None
        self.taken += 1
        self.steps.left -= 1
        request = Request(model.name, keep_alive=model.keep_alive)
        after = []
        for setup, state in zip(self.setup.readings(), states, strict=True):
            served = serve(setup, replace(state, events=()), model, request)
            if any(event.kind in FAULTY for event in served.events):
                return None
            after.append(served)
        return tuple(after)

    def _pinned(self, model: Candidate, pins: int) -> Iterator[Candidate]:
        yield model
        if pins and model.options.main_gpu is None:
            for index in range(len(self.setup.host.devices)):
                yield replace(model, options=replace(model.options, main_gpu=index))

    def _future(self, states: States, left: Order, pins: int) -> Hashable:
        """What decides how it goes on: who is left, how many pins, and the memory in use."""
        memory = tuple(
            (sorted_shares(state), sum(runner.host_bytes for runner in state.runners), len(state.runners)) for state in states
        )
        return frozenset(model.name for model in left), memory, pins


def hopeless(setup: Setup, state: State, left: Order) -> bool:
    """Is there less room on all devices together than those need that are still to come, whatever the order?

    Every device that one of them gets keeps its margin free in the end, unless their layers or another margin were given.
    """
    freely = setup.settings.fit is None and setup.settings.fit_target_mib is None
    if setup.measure or not setup.host.devices or any(item.real is None or item.options.num_gpu is not None for item in left):
        return False
    margin = bytes_of(DEFAULT_FIT_TARGET_MIB) if freely and setup.rules.family == "eighty percent" else 0
    room = sum(max(0, really_free(state, device) - margin) for device in setup.host.devices)
    loaded = {runner.candidate.blob for runner in state.runners}
    coming = {item.blob: item.real.device_mib for item in left if item.real and item.blob not in loaded}
    return bytes_of(sum(coming.values())) > room


def sorted_shares(state: State) -> tuple[Share, ...]:
    shares = (share for runner in state.runners for share in runner.shares)
    return tuple(sorted(shares, key=lambda item: (item.device, item.real_bytes, item.reported_bytes, item.free_before_bytes)))


def _choices(left: Order) -> Iterator[tuple[Candidate, Order]]:
    """Each model that may come next with what is left then; of models that differ in name alone only the first."""
    tried: set[Hashable] = set()
    for index, model in enumerate(left):
        sharing = sum(other.blob == model.blob for other in left)
        alike = replace(model, name="", blob_digest=None), sharing
        if alike not in tried:
            tried.add(alike)
            yield model, (*left[:index], *left[index + 1 :])
