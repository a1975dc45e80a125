"""A resident set loaded and served: the events, who is left, and the verdict with the sentence that decides it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .admission_memory import Runner, State
from .admission_options import Setup, asked
from .admission_prediction import Prediction, all_tokens, server_prediction
from .admission_rules import rules_for
from .admission_steps import serve
from .admission_types import (
    FOREVER_S,
    MIB,
    Candidate,
    EngineHost,
    Event,
    FreeView,
    Measure,
    Replay,
    Request,
    Resident,
    RunnerOptions,
    ServerSettings,
    Verdict,
)

# From worst to best: what happened decides the verdict, the worst of it first.
FAULTS: tuple[tuple[str, Verdict], ...] = (
    ("refused", "refused"),
    ("evicts", "evicts"),
    ("unloads", "evicts"),
    ("spills", "spills"),
    ("overcommits", "spills"),
    ("reloads", "reloads"),
    ("lowers_context", "reloads"),
    ("expires", "expires"),
)
SEVERITY: tuple[Verdict, ...] = ("refused", "evicts", "spills", "reloads", "expires", "stays")
DIFFERENCE = "How much memory the engine believes to be free depends on whom it asks;"
STAYS = "All of them stay: nothing is evicted, restarted or left in RAM while they are loaded in this order."


def engine_prediction(
    candidate: Candidate, host: EngineHost, settings: ServerSettings, version: str, options: RunnerOptions | None = None
) -> Prediction:
    """What the engine itself thinks this model takes under these settings and a request's ``options``, without the batch.

    The context is the one that the model would get: option, Modelfile, server or tier; clamped to the training context,
    at least 2048 for multimodal models; times the sequences that its family may serve at once. Raises ValueError for a
    version whose rules are not known.
    """
    rules, note = rules_for(version)
    if rules is None:
        raise ValueError(note)
    setup = Setup(host, settings, rules)
    return server_prediction(candidate, all_tokens(asked(setup, candidate, Request(candidate.name, options or RunnerOptions()))))


def replay(
    host: EngineHost,
    settings: ServerSettings,
    version: str,
    models: Sequence[Candidate],
    requests: Sequence[Request] = (),
    *,
    seen: FreeView = "both",
    measure: Measure | None = None,
) -> Replay:
    """Load the models in this order, then serve the requests; what happened, who is left, and why.

    ``measure`` gives each model's real size for the context and batch that the engine chose; without it ``real`` of the
    candidate counts, without that the engine's own prediction. ``seen``: the engine's reading of free memory is not always
    the same; "reported" asks the loaded runners and takes the highest answer, "real" asks the driver, "both" replays both
    and answers with the worse. Raises ValueError for two models of one name, for a request to a model that is not among
    them, and for a keep-alive that no engine takes.
    """
    by_name = _by_name(models, requests)
    order = tuple(model.name for model in models)
    if host.engine == "llama_cpp":
        reason = "llama.cpp serves each model with a process of its own: nothing is evicted, physical fit alone decides."
        return Replay("stays", reason, (), (), order, "one process per model")
    rules, note = rules_for(version)
    if rules is None:
        return Replay("unknown", str(note), (), (), order, "none")
    setups = Setup(host, settings, rules, seen, measure).readings()
    replays = [_replayed(setup, models, (*preloads(models), *requests), by_name) for setup in setups]
    worst = min(replays, key=lambda item: SEVERITY.index(item.verdict))
    notes = (note,) if note else ()
    if len({item.verdict for item in replays}) > 1:
        notes = (*notes, f"{DIFFERENCE} by the other reading the verdict is: {max(replays, key=_mildness).verdict}.")
    return replace(worst, notes=(*notes, *worst.notes))


def _mildness(item: Replay) -> int:
    return SEVERITY.index(item.verdict)


def _replayed(setup: Setup, models: Sequence[Candidate], requests: Sequence[Request], by_name: Mapping[str, Candidate]) -> Replay:
    state = State()
    for request in requests:
        state = serve(setup, state, by_name[request.name], request)
    state = state.saying(*_expiries(state))
    verdict, reason = judge(state, models)
    residents = tuple(_resident(runner) for runner in state.runners)
    order = tuple(model.name for model in models)
    return Replay(verdict, reason, state.events, residents, order, setup.rules.name, tuple(_notes(setup, state, models)))


def preloads(models: Sequence[Candidate]) -> tuple[Request, ...]:
    """The requests that load the models one after the other, each with its own keep-alive."""
    return tuple(Request(model.name, keep_alive=model.keep_alive, empty=True) for model in models)


def _by_name(models: Sequence[Candidate], requests: Sequence[Request]) -> dict[str, Candidate]:
    by_name = {model.name: model for model in models}
    if len(by_name) < len(models):
        raise ValueError(
            f"got two models of one name among {', '.join(model.name for model in models)}; expected names that differ"
        )
    for request in requests:
        if request.name not in by_name:
            raise ValueError(f"got a request to {request.name}; expected one of {', '.join(by_name) or 'no model'}")
    return by_name


def _expiries(state: State) -> list[Event]:
    """Who leaves when nobody asks: a finite keep-alive ends every residency."""
    return [
        Event(
            "expires",
            runner.candidate.name,
            "keep-alive",
            f"{runner.candidate.name} leaves after {runner.keep_alive_s:g} s without a request: its keep-alive is finite.",
            runner.devices,
            runner.placement,
            {"keep_alive_s": runner.keep_alive_s},
        )
        for runner in state.runners
        if runner.keep_alive_s < FOREVER_S
    ]


def judge(state: State, models: Sequence[Candidate]) -> tuple[Verdict, str]:
    """The verdict on what happened, with the sentence of the first event that decides it."""
    for kind, verdict in FAULTS:
        found = next((event for event in state.events if event.kind == kind), None)
        if found:
            return verdict, found.sentence
    return ("stays", STAYS) if models else ("stays", "There is nothing to load.")


def _resident(runner: Runner) -> Resident:
    return Resident(
        name=runner.candidate.name,
        blob=runner.candidate.blob,
        context_tokens=runner.asked.context_tokens,
        parallel=runner.asked.parallel,
        batch_tokens=runner.asked.num_batch,
        keep_alive_s=runner.keep_alive_s,
        placement=runner.placement,
        accelerators=runner.devices,
        predicted_mib=runner.prediction.total_bytes / MIB,
        predicted_basis=runner.prediction.basis,
        real_mib=runner.real_bytes / MIB,
        real_basis=runner.real_basis,
    )


def _notes(setup: Setup, state: State, models: Sequence[Candidate]) -> list[str]:
    """What the answer rests on that nobody said."""
    notes = []
    if len(models) > 1 and any(model.blob_digest is None for model in models):
        notes.append(
            "Digests are not known for all models: who of equals is evicted first goes by the alphabet of names instead."
        )
    stand_ins = [runner.candidate.name for runner in state.runners if runner.prediction.basis not in ("engine rule", "layout")]
    if stand_ins:
        notes.append(f"No header: the engine's prediction is replaced by the declared size for {', '.join(stand_ins)}.")
    guessed = [runner.candidate.name for runner in state.runners if runner.real_basis == "the engine's own prediction"]
    if guessed:
        notes.append(f"The real size is not known and the engine's own prediction stands in for {', '.join(guessed)}.")
    unseen = [runner for runner in state.runners if any(share.real_bytes and not share.reported_bytes for share in runner.shares)]
    if unseen:
        where = ", ".join(f"{runner.candidate.name} on {runner.devices[0]}" for runner in unseen)
        notes.append(f"The engine does not see {where}, because it is alone there: it believes that device empty.")
    if setup.host.ram_free_mib is None and (not setup.host.devices or setup.host.is_mac):
        notes.append("Free RAM is not known: what it limits was not replayed.")
    return notes
