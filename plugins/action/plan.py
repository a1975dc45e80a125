"""Door to the planner: collects the inventory's intent from all hosts and returns the plan. Touches nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.text.converters import to_text
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

try:
    from ..plugin_utils.calibration_store import read_all
    from ..plugin_utils.calibration_table import beside, calibration_table
    from ..plugin_utils.fit import anywhere
    from ..plugin_utils.intent import OTHERS, VARIABLES, Intent, parse_fleet
    from ..plugin_utils.plain import plain
    from ..plugin_utils.plan import make_plan
    from ..plugin_utils.plan_table import plan_table
    from ..plugin_utils.problems import IntentError, Path

    MISSING_LIBRARY: ImportError | None = None
except ImportError as error:
    MISSING_LIBRARY = error

try:
    # Where a value was written. Not a public interface of ansible-core: without it messages lack file and line.
    from ansible._internal._datatag._tags import Origin
except ImportError:
    Origin = None


ARGUMENTS = {"show": {"type": "bool", "default": False}, "build_directory": {"type": "path"}}


class ActionModule(ActionBase):
    """``homelab.llm.plan``: documented in plugins/modules/plan.py."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Returns ``plan`` and ``build_directory``; fails with every mistake in the intent."""
        result = super().run(tmp, task_vars)
        if MISSING_LIBRARY is not None:
            raise AnsibleActionFail(
                f"the controller's Python lacks a library ({MISSING_LIBRARY}); run: python3 -m pip install 'pydantic>=2.10'"
            )
        _checked, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        if not os.path.isabs(arguments["build_directory"] or os.sep):
            raise AnsibleActionFail(f"llm_build_directory: got {arguments['build_directory']!r}; expected an absolute path")
        variables = task_vars or {}
        inventory = inventory_name(variables.get("ansible_inventory_sources") or [])
        reader = InventoryReader(variables)
        try:
            plan = make_plan(parse_fleet(reader.intent()), inventory, find=anywhere)
        except IntentError as error:
            count = len(error.problems)
            heading = f"{count} mistake{'s' if count > 1 else ''} in the inventory; nothing was touched:"
            raise AnsibleActionFail(f"{heading}\n{error.report(reader.locate)}") from None
        build = arguments["build_directory"] or os.path.join(os.getcwd(), "build", inventory)
        if arguments["show"]:
            measured = calibration_table(beside(plan, read_all(build, plan["hosts"])))
            Display().display(
                "\n".join(["", plan_table(plan), *(["", "measured after loading", measured] if measured else []), ""])
            )
        return {**result, "changed": False, "plan": plan, "build_directory": build}


def inventory_name(sources: list[Any]) -> str:
    """The folder of the inventory, or the stem of its file where the file is not called hosts; lists of names: ad-hoc."""
    names = []
    for source in map(to_text, sources):
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
    """Reads the ``llm_*`` variables of every host, templated, as plain data; remembers where each was written."""

    def __init__(self, task_vars: Mapping[str, Any]) -> None:
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
        if Origin is None or not self.engines:
            return None
        host, rest = (str(path[1]), path[2:]) if path[0] == "hosts" and len(path) > 1 else (self.engines[0], path)
        raw = self.hostvars.raw_get(host)
        place = None
        for part in rest:
            place = _written_at(_key_of(raw, part)) or place
            raw = raw[part] if _has(raw, part) else None
            place = _written_at(raw) or place
        return place


def _has(raw: Any, part: Any) -> bool:
    return (isinstance(raw, Mapping) and part in raw) or (isinstance(raw, list) and isinstance(part, int) and part < len(raw))


def _key_of(raw: Any, part: Any) -> Any:
    """The key object itself: it carries its own place, which is all there is for an unknown key."""
    return next((key for key in raw if key == part), None) if isinstance(raw, Mapping) else None


def _written_at(value: Any) -> str | None:
    origin = Origin.get_tag(value) if value is not None else None
    if origin is None or not origin.path:
        return None
    return f"{os.path.relpath(origin.path)}:{origin.line_num}" if origin.line_num else os.path.relpath(origin.path)
