"""The inventory as the planner reads it: the ``llm_*`` variables of every host, and where each of them was written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .intent import OTHERS, VARIABLES, Intent
from .plain import plain
from .problems import Path

WrittenAt = Callable[[Any], str | None]


def inventory_name(sources: list[Any]) -> str:
    """The folder of the inventory, or the stem of its file where the file is not called hosts; lists of names: ad-hoc."""
    names = []
    for source in map(str, sources):
        path = os.path.abspath(source)
        stem = os.path.splitext(os.path.basename(path))[0]
        if not os.path.exists(path):
            names.append("ad-hoc")
        elif os.path.isfile(path) and stem in ("hosts", "inventory"):
            names.append(os.path.basename(os.path.dirname(path)))
        else:
            names.append(stem if os.path.isfile(path) else os.path.basename(path))
    return "+".join(names) or "none"


class InventoryReader:
    """Reads the ``llm_*`` variables of every host, templated, as plain data.

    ``written_at`` knows the ``file:line`` of a value, where somebody does.
    """

    def __init__(self, task_vars: Mapping[str, Any], written_at: WrittenAt | None = None) -> None:
        self.written_at = written_at
        self.hostvars = task_vars["hostvars"]
        self.groups: Mapping[str, Any] = task_vars["groups"]
        self.engines = list(self.groups.get("engines", ()))
        self.everyone = list(self.groups.get("all", ()))

    def intent(self) -> Intent:
        """The whole fleet's intent, whatever the limit of this run is."""
        reader = self.engines[0] if self.engines else None
        return Intent(
            variables={name: self._value(reader, name) for name in VARIABLES} if reader else {},
            hosts={host: self._value(host, "llm_host") for host in self.engines},
            addresses={host: str(self._value(host, "ansible_host") or host) for host in self.engines},
            router_hosts=tuple(self.groups.get("router", ())),
            groups=tuple(name for name in self.groups if name not in ("all", "ungrouped")),
            unknown_variables=tuple(self._unknown()),
            stray_hosts=tuple(host for host in self.everyone if host not in self.engines and "llm_host" in self.hostvars[host]),
            differing=tuple(self._differing(reader)) if reader else (),
        )

    def _value(self, host: str, name: str) -> Any:
        return plain(self.hostvars[host].get(name))

    def _unknown(self) -> list[Path]:
        known = {*VARIABLES, *OTHERS}
        found: dict[str, str] = {}
        for host in [*self.engines, *self.everyone]:
            for name in self.hostvars[host]:
                if name.startswith("llm_") and name not in known:
                    found.setdefault(name, host)
        first = self.engines[0] if self.engines else None
        return [(name,) if host == first else ("hosts", host, name) for name, host in sorted(found.items())]

    def _differing(self, reader: str) -> Iterator[tuple[str, str, str]]:
        """Variables of which a host of engines or router has another value than the first engine's host."""
        others = [host for host in {*self.engines, *self.groups.get("router", ())} if host != reader]
        for name in VARIABLES:
            value = self._value(reader, name)
            yield from ((name, reader, host) for host in sorted(others) if self._value(host, name) != value)

    def locate(self, path: Path) -> str | None:
        """``file:line`` of the value at ``path``, or of the nearest thing around it."""
        if self.written_at is None or not self.engines:
            return None
        host, rest = (str(path[1]), path[2:]) if path[0] == "hosts" and len(path) > 1 else (self.engines[0], path)
        raw = self.hostvars.raw_get(host)
        place = None
        for part in rest:
            place = self.written_at(_key_of(raw, part)) or place
            raw = raw[part] if _has(raw, part) else None
            place = self.written_at(raw) or place
        return place


def _has(raw: Any, part: Any) -> bool:
    return (isinstance(raw, Mapping) and part in raw) or (isinstance(raw, list) and isinstance(part, int) and part < len(raw))


def _key_of(raw: Any, part: Any) -> Any:
    """The key object itself: it carries its own place, which is all there is for an unknown key."""
    return next((key for key in raw if key == part), None) if isinstance(raw, Mapping) else None
