"""What would make a resident set stay: orders and settings are tried, cheapest change first, and proved by a replay.

An order costs nothing; then come the server's settings, a model's own options (a derived model), pins to a device, a
smaller context, and as the last resort one instance of the engine per device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product

from .admission_options import Setup, asked
from .admission_orders import Order, Steps, staying_order
from .admission_replay import replay
from .admission_rules import (
    DEFAULT_FIT_TARGET_MIB,
    default_context,
    mib_text,
    most_loaded,
    request_keep_alive_s,
    rules_for,
    server_keep_alive_s,
)
from .admission_types import (
    FOREVER_S,
    Accelerator,
    Candidate,
    EngineHost,
    FreeView,
    Measure,
    Replay,
    Request,
    ServerSettings,
    bytes_of,
)

CONTEXTS = (262144, 131072, 65536, 32768, 16384, 8192, 4096, 2048)
SMALL_BATCH = 512
# The policy's headroom in the inventory; less would leave no room for what a driver takes later.
SMALL_MARGIN_MIB = 512
# Ways to deal the models to instances that are looked at: seven models on three devices.
MOST_DEALS = 2187


@dataclass(frozen=True)
class Change:
    """One thing to change: ``setting`` of ``target`` (the server, a model, a device's instance) from ``before`` to ``value``."""

    setting: str
    target: str
    value: str | int
    sentence: str
    before: str | int | None = None


@dataclass(frozen=True)
class Mend:
    """Changes with which all models stay, and the replays that prove it (one per instance), or why none was found.

    ``models`` carry their changed options, in the order of loading. ``tried`` names what did not help.
    """

    found: bool
    changes: tuple[Change, ...]
    settings: ServerSettings
    models: tuple[Candidate, ...]
    replays: tuple[Replay, ...]
    tried: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class _Try:
    """One combination of settings and options to search orders with; ``pins``: models may be pinned to devices."""

    label: str
    settings: ServerSettings
    models: tuple[Candidate, ...]
    changes: tuple[Change, ...]
    pins: int = 0


def mend(
    host: EngineHost,
    settings: ServerSettings,
    version: str,
    models: Sequence[Candidate],
    *,
    seen: FreeView = "both",
    measure: Measure | None = None,
) -> Mend:
    """The cheapest change with which these models stay; ``found`` False with the reason where none was found.

    A context is never lowered below a candidate's ``needed_context_tokens``. Raises ValueError as ``replay`` does.
    """
    given = tuple(models)
    first = replay(host, settings, version, given, seen=seen, measure=measure)
    if first.stays:
        return Mend(True, (), settings, given, (first,), (), "Nothing has to change.")
    rules, _note = rules_for(version)
    lack = None if measure else _physical_lack(host, given)
    if rules is None or lack:
        return Mend(False, (), settings, given, (first,), (), lack or first.reason)
    setup = Setup(host, settings, rules, seen, measure)
    tried: list[str] = []
    steps = Steps()
    for attempt in chain(_tries(setup, given), _unpinned(setup, given)):
        order = staying_order(replace(setup, settings=attempt.settings), attempt.models, attempt.pins, steps)
        if order is not None:
            return _found(setup, version, given, _relaxed(setup, attempt, order), tried)
        tried.append(f"{attempt.label} (not all orders were tried)" if steps.gave_up else attempt.label)
        steps.gave_up = False
    split = _instances(setup, version, given, tried)
    reason = f"{first.reason} None of these helps: {'; '.join(tried)}."
    return split or Mend(False, (), settings, given, (first,), tuple(tried), reason)


def _relaxed(setup: Setup, attempt: _Try, order: Order) -> tuple[_Try, Order]:
    """Without the changes to single models that are not needed after all."""
    for change in attempt.changes:
        if change.setting in ("num_ctx", "num_batch"):
            changes = tuple(item for item in attempt.changes if item is not change)
            models = tuple(_undone(model, change) for model in attempt.models)
            less = replace(attempt, changes=changes, models=models)
            without = staying_order(replace(setup, settings=less.settings), less.models, less.pins)
            attempt, order = (less, without) if without else (attempt, order)
    return attempt, order


def _undone(model: Candidate, change: Change) -> Candidate:
    if model.name != change.target:
        return model
    before = change.before if isinstance(change.before, int) else None
    options = model.options
    undone = replace(options, num_ctx=before) if change.setting == "num_ctx" else replace(options, num_batch=before)
    return replace(model, options=undone)


def _found(setup: Setup, version: str, given: Order, mended: tuple[_Try, Order], tried: Sequence[str]) -> Mend:
    attempt, order = mended
    proof = replay(setup.host, attempt.settings, version, order, seen=setup.seen, measure=setup.measure)
    changes = (*attempt.changes, *_pin_changes(given, order), *_order_change(given, order))
    sentences = " ".join(f"{change.setting} of {change.target}: {change.value}." for change in changes)
    reason = f"With this all of them stay: {sentences}"
    return Mend(True, changes, attempt.settings, order, (proof,), tuple(tried), reason)


def _order_change(given: Sequence[Candidate], order: Sequence[Candidate]) -> tuple[Change, ...]:
    names = [model.name for model in order]
    if names == [model.name for model in given]:
        return ()
    return (Change("order", "loading", ", ".join(names), "Where a model lands depends on who came before."),)


def _pin_changes(given: Sequence[Candidate], order: Sequence[Candidate]) -> list[Change]:
    """Pins that were set, moved or taken away."""
    before = {model.name: model.options.main_gpu for model in given}
    return [_pin_change(model, before[model.name]) for model in order if model.options.main_gpu != before[model.name]]


def _pin_change(model: Candidate, before: int | None) -> Change:
    if model.options.main_gpu is None:
        return Change("main_gpu", model.name, "unset", "The engine finds it a better place.", before)
    why = "Otherwise it goes where most memory is free, or over all devices." if before is None else "There is room for it."
    return Change("main_gpu", model.name, model.options.main_gpu, why, before)


def _unpinned(setup: Setup, given: Order) -> Iterator[_Try]:
    """The same tries without the pins that were asked for, and with others."""
    free = tuple(replace(model, options=replace(model.options, main_gpu=None)) for model in given)
    if free == given:
        return
    for attempt in _tries(setup, free):
        for pins in sorted({attempt.pins, len(given) if len(setup.host.devices) > 1 else 0}):
            yield replace(attempt, label=f"{attempt.label} without the given main_gpu", pins=pins)


def _physical_lack(host: EngineHost, models: Sequence[Candidate]) -> str | None:
    """The sum of real sizes against all memory there is: where it is larger, no setting helps."""
    if any(model.real is None for model in models):
        return None
    by_blob = {model.blob: model for model in models}.values()
    devices = host.devices
    if devices:
        sizes = {model.name: model.real.device_mib + model.real.process_mib for model in by_blob if model.real}
        free, where = sum(device.free_bytes for device in devices), " + ".join(device.name for device in devices)
    elif host.ram_free_mib is not None:
        whole = {model.name: model.real for model in by_blob if model.real}
        sizes = {name: real.device_mib + real.host_mib if real.cpu_mib is None else real.cpu_mib for name, real in whole.items()}
        free, where = bytes_of(host.ram_free_mib), "RAM"
    else:
        return None
    needed = sum(bytes_of(size) for size in sizes.values())
    if needed <= free:
        return None
    terms = " + ".join(f"{name} {mib_text(bytes_of(size))}" for name, size in sizes.items())
    lack = f"{terms} = {mib_text(needed)}, {mib_text(needed - free)} more than the {mib_text(free)} of {where}"
    return f"The set does not fit physically: {lack}. No setting and no order mends that."


def _tries(setup: Setup, models: tuple[Candidate, ...]) -> Iterator[_Try]:
    settings, models, needed = _necessary(setup, models)
    yield _Try("another order of loading", settings, models, needed)
    if settings.sched_spread:
        settings = replace(settings, sched_spread=None)
        needed = (*needed, Change("OLLAMA_SCHED_SPREAD", "server", "false", "Let a model lie whole on one device."))
        yield _Try("OLLAMA_SCHED_SPREAD off", settings, models, needed)
    base = _Try("", settings, models, needed)
    margin = _with_smaller_margin(setup, base)
    if margin:
        yield margin
    yield from _with_contexts(setup, base)
    small = _with_small_batches(setup, base)
    if small:
        yield small
    pinned = len(setup.host.devices) > 1 and setup.rules.family == "eighty percent"
    if pinned:
        yield from (
            replace(base, label=f"main_gpu of {count}", pins=most)
            for count, most in (("one model", 1), ("any model", len(models)))
        )
        yield from (replace(item, pins=len(models), label=f"{item.label} and main_gpu") for item in _with_contexts(setup, base))
    for smaller in _with_smaller_models(setup, base):
        yield smaller
        if pinned:
            yield replace(smaller, pins=len(models), label=f"{smaller.label} and main_gpu")


def _necessary(setup: Setup, models: tuple[Candidate, ...]) -> tuple[ServerSettings, tuple[Candidate, ...], tuple[Change, ...]]:
    """What no order can do without: room for all of them in the count, and no timer that ends a residency."""
    settings, changes = setup.settings, []
    count = len({model.blob for model in models})
    limit = most_loaded(setup.host, settings)
    if limit < count:
        settings = replace(settings, max_loaded_models=count)
        sentence = f"{count} models are to stay, {limit} are allowed."
        changes.append(Change("OLLAMA_MAX_LOADED_MODELS", "server", count, sentence))
    if server_keep_alive_s(settings) < FOREVER_S and any(model.keep_alive is None for model in models):
        settings = replace(settings, keep_alive=-1)
        changes.append(
            Change("OLLAMA_KEEP_ALIVE", "server", -1, "Without it models leave after five minutes, and after every reload.")
        )
    kept = tuple(replace(model, keep_alive=-1) if _leaves(model) else model for model in models)
    timed = [model.name for model, same in zip(models, kept, strict=True) if model.keep_alive != same.keep_alive]
    changes += [Change("keep_alive", name, -1, "Its load asks for a finite residency.") for name in timed]
    return settings, kept, tuple(changes)


def _leaves(model: Candidate) -> bool:
    """Does its own load ask for a finite residency?"""
    asked_for = request_keep_alive_s(model.keep_alive)
    return asked_for is not None and asked_for < FOREVER_S


def _floor(model: Candidate, context: int) -> int:
    return max(context, model.needed_context_tokens or 0)


def _with_contexts(setup: Setup, base: _Try) -> Iterator[_Try]:
    """An explicit OLLAMA_CONTEXT_LENGTH for models that have none of their own, the largest that helps."""
    automatic = [model for model in base.models if model.options.num_ctx is None]
    if base.settings.context_length or not automatic:
        return
    tier = default_context(setup.host, base.settings)
    floor = max((model.needed_context_tokens or 0 for model in automatic), default=0)
    for context in CONTEXTS:
        if floor <= context < tier:
            why = f"The default of this host is {tier:,} tokens, because of its memory."
            change = Change("OLLAMA_CONTEXT_LENGTH", "server", context, why)
            settings = replace(base.settings, context_length=context)
            yield replace(base, label=f"OLLAMA_CONTEXT_LENGTH={context}", settings=settings, changes=(*base.changes, change))


def _with_smaller_margin(setup: Setup, base: _Try) -> _Try | None:
    """llama-server leaves layers in RAM rather than touch its margin, even where the model fits."""
    margin_mib = base.settings.fit_target_mib
    current_mib = DEFAULT_FIT_TARGET_MIB if margin_mib is None else margin_mib
    if setup.rules.family != "eighty percent" or base.settings.fit is False or current_mib <= SMALL_MARGIN_MIB:
        return None
    change = Change(
        "LLAMA_ARG_FIT_TARGET", "server", SMALL_MARGIN_MIB, f"llama-server keeps {current_mib:g} MiB of each device free.", None
    )
    settings = replace(base.settings, fit_target_mib=SMALL_MARGIN_MIB)
    return replace(base, label=f"LLAMA_ARG_FIT_TARGET={SMALL_MARGIN_MIB}", settings=settings, changes=(*base.changes, change))


def _with_small_batches(setup: Setup, base: _Try) -> _Try | None:
    """``num_batch`` 512 where a larger one was given, which the engine adds to its prediction, or really takes more."""
    large = [
        model.name
        for model in base.models
        if not model.is_embedding and (model.options.num_batch or (SMALL_BATCH + 1 if setup.measure else 0)) > SMALL_BATCH
    ]
    if not large or setup.rules.family != "eighty percent":
        return None
    models = tuple(
        replace(model, options=replace(model.options, num_batch=SMALL_BATCH)) if model.name in large else model
        for model in base.models
    )
    before = {model.name: model.options.num_batch for model in base.models}
    changes = [Change("num_batch", name, SMALL_BATCH, "A larger batch takes more memory.", before[name]) for name in large]
    return replace(base, label=f"num_batch {SMALL_BATCH}", models=models, changes=(*base.changes, *changes))


def _with_smaller_models(setup: Setup, base: _Try) -> Iterator[_Try]:
    """A smaller ``num_ctx`` for the models that have a longer one, by a derived model each."""
    current = {model.name: asked(setup, model, Request(model.name)).context_tokens for model in base.models}
    for context in CONTEXTS:
        wanted = {model.name: min(current[model.name], _floor(model, context)) for model in base.models}
        smaller = [name for name in wanted if wanted[name] < current[name]]
        if smaller:
            yield _lowered(base, {name: wanted[name] for name in smaller}, current, context)


def _lowered(base: _Try, wanted: dict[str, int], current: dict[str, int], context: int) -> _Try:
    models = tuple(
        replace(model, options=replace(model.options, num_ctx=wanted[model.name])) if model.name in wanted else model
        for model in base.models
    )
    before = {model.name: model.options.num_ctx for model in base.models}
    changes = [
        Change("num_ctx", name, size, f"It has {current[name]:,} tokens now.", before[name]) for name, size in wanted.items()
    ]
    return replace(base, label=f"num_ctx of at most {context}", models=models, changes=(*base.changes, *changes))


def _instances(setup: Setup, version: str, given: Order, tried: list[str]) -> Mend | None:
    """One engine per device, each with some of the models: the last resort, with an explicit context as it was before."""
    devices = setup.host.devices
    tried.append("one instance per device")
    if len(devices) < 2 or len(devices) ** len(given) > MOST_DEALS:
        return None
    settings, models, changes = _necessary(setup, given)
    context = settings.context_length or default_context(setup.host, settings)
    settings = replace(settings, context_length=context, max_loaded_models=len(given), sched_spread=None)
    orders: dict[tuple[str, frozenset[str]], Order | None] = {}
    for deal in product(range(len(devices)), repeat=len(models)):
        found = [
            _on_device(setup, settings, devices[index], _dealt(models, deal, index), orders) for index in range(len(devices))
        ]
        if all(order is not None for order in found):
            return _as_instances(setup, version, settings, changes, [order or () for order in found], tried)
    return None


def _dealt(models: Order, deal: tuple[int, ...], index: int) -> Order:
    return tuple(model for model, where in zip(models, deal, strict=True) if where == index)


def _on_device(
    setup: Setup,
    settings: ServerSettings,
    device: Accelerator,
    models: Order,
    known: dict[tuple[str, frozenset[str]], Order | None],
) -> Order | None:
    key = device.name, frozenset(model.name for model in models)
    if key not in known:
        known[key] = staying_order(replace(setup, host=replace(setup.host, accelerators=(device,)), settings=settings), models)
    return known[key]


def _as_instances(
    setup: Setup,
    version: str,
    settings: ServerSettings,
    changes: tuple[Change, ...],
    orders: Sequence[Order],
    tried: Sequence[str],
) -> Mend:
    devices = setup.host.devices
    proofs = tuple(
        replay(replace(setup.host, accelerators=(device,)), settings, version, order, seen=setup.seen, measure=setup.measure)
        for device, order in zip(devices, orders, strict=True)
    )
    dealt = tuple(
        Change(
            "instance",
            device.name,
            ", ".join(model.name for model in order),
            "An engine of its own, which sees this device only.",
        )
        for device, order in zip(devices, orders, strict=True)
        if order
    )
    reason = (
        f"One instance of the engine per device keeps all of them: {'; '.join(f'{item.target}: {item.value}' for item in dealt)}."
    )
    models = tuple(model for order in orders for model in order)
    return Mend(True, (*changes, *dealt), settings, models, proofs, tuple(tried), reason)
