"""What would make models fit that do not: settings that are tried, each proved by packing all models again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Iterator, Mapping, Sequence

from .memory_settings import Settings, SettingsError, for_model, resolved
from .packing import Budget, HostFit, PredictedDemand, fit_host, fits_on_host
from .tensor_types import is_quantised

# Contexts that are worth a try, the smallest first.
CONTEXTS = tuple(2**power for power in range(11, 18))
QUANTISED = "q8_0"
SMALL_BATCH_TOKENS = 512
# So many ways are named where more would do.
MOST_NAMED = 3
# The contexts of so many models are tried one by one.
MOST_SUSPECTS = 6

Demands = Mapping[str, PredictedDemand]
Change = Callable[[PredictedDemand], Settings]


@dataclass(frozen=True)
class Remedy:
    """Settings with which all models fit, of one ``model`` or (None) of all. ``least``: they still do not, with the least that
    was tried, and lack ``missing_mib``.
    """

    settings: Mapping[str, Any]
    model: str | None = None
    least: bool = False
    missing_mib: float = 0.0


def remedies(demands: Demands, budgets: Sequence[Budget], cpu_too: bool, fit: HostFit) -> list[Remedy]:
    """What mends a fit, what costs a user least first: single settings, else several together, else how far those get."""
    if fit.fits or not demands:
        return []
    search = _Search(demands, budgets, cpu_too)
    said, least = search.all_of_it()
    if not search.fits(least):
        return [Remedy(said, None, True, missing_mib(fit_host(least, budgets, cpu_too)))]
    alone = [*search.alone(), *search.shorter(demands, _suspects(fit))]
    return alone[:MOST_NAMED] or search.together()


def _suspects(fit: HostFit) -> list[str]:
    """The models of which one may be to blame: first what spills, then the rest, the largest caches first."""
    caches = {
        item.model: sum(pool.kv_cache_mib for pool in item.load.prediction.pools) for item in fit.placed if item.load.prediction
    }
    spilled = {item.model for item in fit.placed if item.spilled_mib > 0}
    return sorted(caches, key=lambda name: (name not in spilled, -caches[name], name))[:MOST_SUSPECTS]


def missing_mib(fit: HostFit) -> float:
    """How much finds no room; what spills into the host's memory and lacks there is one thing."""
    return max(fit.spilled_mib, fit.ram_missing_mib)


class _Search:
    """The models, and where they are to be packed."""

    def __init__(self, demands: Demands, budgets: Sequence[Budget], cpu_too: bool) -> None:
        self.demands, self.budgets, self.cpu_too = demands, budgets, cpu_too
        self.changes = [(said, change) for said, change in _changes() if changed(demands, change) != demands]

    def fits(self, demands: Demands) -> bool:
        return fits_on_host(demands, self.budgets, self.cpu_too)

    def all_of_it(self) -> tuple[dict[str, Any], Demands]:
        """Every change at once, with the shortest context."""
        said, found = self._upon_each_other()[-1] if self.changes else ({}, self.demands)
        shortest = changed(found, _shorter(CONTEXTS[0]))
        return ({**said, "context_tokens": CONTEXTS[0]} if shortest != found else said), shortest

    def _upon_each_other(self) -> list[tuple[dict[str, Any], Demands]]:
        said: dict[str, Any] = {}
        found = self.demands
        steps: list[tuple[dict[str, Any], Demands]] = []
        for more, change in self.changes:
            said, found = {**said, **more}, changed(found, change)
            steps.append((said, found))
        return steps

    def alone(self) -> Iterator[Remedy]:
        """Each change of all models by itself."""
        for said, change in self.changes:
            if self.fits(changed(self.demands, change)):
                yield Remedy(said)

    def shorter(self, demands: Demands, suspects: Sequence[str]) -> Iterator[Remedy]:
        """The longest context with which it fits: of one of the suspects, else of all."""
        for name in suspects if len(demands) > 1 else ():
            tokens = self._longest(demands, [name])
            if tokens:
                yield Remedy({"context_tokens": tokens}, name)
                return
        tokens = self._longest(demands, list(demands))
        if tokens:
            yield Remedy({"context_tokens": tokens})

    def _longest(self, demands: Demands, names: Sequence[str]) -> int | None:
        """More context never takes less, so the longest that fits is found by halving."""
        low, high = 0, len(CONTEXTS)
        while low < high:
            middle = (low + high) // 2
            some = {name: demands[name] for name in names}
            fits = self.fits({**demands, **changed(some, _shorter(CONTEXTS[middle]))})
            low, high = (middle + 1, high) if fits else (low, middle)
        return CONTEXTS[low - 1] if low else None

    def together(self) -> list[Remedy]:
        """The first changes that mend it upon each other, else all of them with the longest context."""
        steps = self._upon_each_other()
        for said, found in steps:
            if self.fits(found):
                return [Remedy(said)]
        said, found = steps[-1] if steps else ({}, self.demands)
        return [Remedy({**said, **item.settings}) for item in self.shorter(found, ())]


def _changes() -> list[tuple[dict[str, Any], Change]]:
    """What can be tried beside a shorter context, what costs a user least first."""
    return [
        ({"cache_ram_mib": 0}, lambda demand: replace(demand.settings, cache_ram_mib=0)),
        ({"flash_attention": "on"}, _flash),
        ({"batch_tokens": SMALL_BATCH_TOKENS}, _smaller_batch),
        ({"kv_type": QUANTISED}, _quantised),
        ({"parallel": 1}, lambda demand: replace(demand.settings, parallel=1)),
    ]


def _flash(demand: PredictedDemand) -> Settings:
    return replace(demand.settings, flash_attention="on") if demand.settings.flash_attention == "off" else demand.settings


def _smaller_batch(demand: PredictedDemand) -> Settings:
    """Not for embeddings, which need what they are asked to embed in one batch."""
    found = resolved(for_model(demand.settings, demand.model.shape), ())
    if demand.settings.embedding or (found.ubatch_tokens or 0) <= SMALL_BATCH_TOKENS:
        return demand.settings
    return replace(demand.settings, batch_tokens=SMALL_BATCH_TOKENS, ubatch_tokens=SMALL_BATCH_TOKENS)


def _quantised(demand: PredictedDemand) -> Settings:
    types = (demand.settings.kv_type_k, demand.settings.kv_type_v)
    if any(map(is_quantised, types)) or demand.model.shape.encoder or demand.settings.flash_attention == "off":
        return demand.settings
    return replace(demand.settings, kv_type_k=QUANTISED, kv_type_v=QUANTISED)


def _shorter(tokens: int) -> Change:
    def change(demand: PredictedDemand) -> Settings:
        context_tokens = for_model(demand.settings, demand.model.shape).context_tokens
        return replace(demand.settings, context_tokens=tokens) if tokens < context_tokens else demand.settings

    return change


def changed(demands: Demands, change: Change) -> dict[str, PredictedDemand]:
    """The same models with a change, where their engine would take it."""
    return {name: _changed(demand, change) for name, demand in demands.items()}


def _changed(demand: PredictedDemand, change: Change) -> PredictedDemand:
    try:
        settings = change(demand)
        for_model(settings, demand.model.shape)
    except SettingsError:
        return demand
    return replace(demand, settings=settings)
