"""The accelerators that memory_fit is asked about, as budgets: those described, else those of this machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Mapping, Sequence

from .fit_values import gibibytes, shown
from .packing import DEFAULT_BACKENDS, GIB_IN_MIB, Budget

# How the memory beside the accelerators is called where nobody described it.
HOST = "host"


def budgets_of(said: Sequence[Mapping[str, Any]] | None, headroom_gib: Any, here: Callable[[], list[Budget]]) -> list[Budget]:
    """The accelerators that were described, else those of this machine. Raises ValueError where they are none."""
    headroom_mib = (gibibytes({"headroom_gib": headroom_gib}, "headroom_gib") or 0.0) * GIB_IN_MIB
    if said:
        found = [_budget(index, item, headroom_mib) for index, item in enumerate(said)]
    else:
        found = [replace(budget, headroom_mib=headroom_mib) for budget in here()]
    if not found:
        raise ValueError("how much memory this machine has cannot be told: describe its accelerators")
    _check(found, bool(said))
    return found


def _budget(index: int, item: Mapping[str, Any], headroom_mib: float) -> Budget:
    where = f"accelerators[{index}]: "
    kind, name = str(item["kind"]), str(item["name"]).strip()
    if not name or name == HOST:
        raise ValueError(f"{where}got name {shown(item['name'])}, expected a word other than {HOST}, such as gpu0")
    own = gibibytes(item, "headroom_gib", where)
    limit = gibibytes(item, "wired_limit_gib", where)
    backend = item.get("backend") or DEFAULT_BACKENDS[kind]
    if (kind, backend) == ("gpu", "metal") or (kind == "cpu" and backend != "cpu"):
        raise ValueError(f"{where}got backend {backend} for a memory of kind {kind}; leave it out")
    if limit is not None and (kind != "unified" or backend != "metal"):
        raise ValueError(f"{where}got wired_limit_gib for {kind} memory with {backend}; only a Mac's unified memory has one")
    return Budget(
        name=name,
        kind=kind,
        memory_mib=(gibibytes(item, "memory_gib", where) or 0.0) * GIB_IN_MIB,
        reserved_mib=(gibibytes(item, "reserved_gib", where) or 0.0) * GIB_IN_MIB,
        headroom_mib=headroom_mib if own is None else own * GIB_IN_MIB,
        # 0 is what a Mac says where nothing was set.
        wired_limit_mib=limit * GIB_IN_MIB if limit else None,
        backend=str(backend),
    )


def _check(budgets: Sequence[Budget], described: bool) -> None:
    names = [budget.name for budget in budgets]
    if len(set(names)) < len(names):
        raise ValueError(f"got accelerators {', '.join(names)}, expected names that differ")
    own = [budget.name for budget in budgets if budget.kind != "gpu"]
    if len(own) > 1:
        raise ValueError(
            f"got {' and '.join(own)}, expected one memory of kind cpu or unified: all of a host's own memory is one"
        )
    for budget in budgets:
        if budget.budget_mib <= 0:
            raise ValueError(_nothing_left(budget, described))


def _nothing_left(budget: Budget, described: bool) -> str:
    memory, reserved, headroom = (
        f"{size / GIB_IN_MIB:.2f}" for size in (budget.memory_mib, budget.reserved_mib, budget.headroom_mib)
    )
    told = f"nothing is left of {budget.name}: {memory} GiB - {reserved} GiB"
    if described:
        return f"{told} reserved - {headroom} GiB headroom; correct memory_gib, reserved_gib or headroom_gib"
    return (
        f"{told} in use now - {headroom} GiB headroom; end what uses it, unload the models that an engine keeps there, or "
        "describe the accelerators as they are when nothing is loaded"
    )
