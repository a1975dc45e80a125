"""From the inventory's variables to a checked Fleet, or to a list of every mistake in them."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from .fleet import Fleet, Host
from .intent_types import NAME_IN_WORDS, NAME_PATTERN, Strict
from .problems import IntentError, Path, Problem, shown, suggestion
from .references import reference_problems

# What each variable holds, and whether a lab can do without it.
VARIABLES: dict[str, Any] = {
    f"llm_{name}": typing.get_type_hints(Fleet, include_extras=True)[name]
    for name in ("models", "workloads", "policy", "assignments", "router")
}
OPTIONAL = frozenset({"llm_policy", "llm_router"})
# What else an inventory may say with a name that begins with llm_.
OTHERS = frozenset({"llm_build_directory", "llm_client_keys", "llm_host"})


@dataclass(frozen=True)
class Intent:
    """The inventory as plain data.

    ``variables`` by name, ``llm_host`` by host in ``hosts``, the hosts of the group router; and what is wrong already:
    ``llm_*`` names nobody knows, hosts with ``llm_host`` outside the group engines, variables that two hosts disagree on.
    """

    variables: Mapping[str, Any]
    hosts: Mapping[str, Any]
    addresses: Mapping[str, str]
    router_hosts: tuple[str, ...]
    groups: tuple[str, ...] = ()
    unknown_variables: tuple[Path, ...] = ()
    stray_hosts: tuple[str, ...] = ()
    differing: tuple[tuple[str, str, str], ...] = ()


def parse_fleet(intent: Intent) -> Fleet:
    """The checked fleet. Raises IntentError with all problems of the first kind found: names, then types, then references."""
    problems = [*_unknown(intent), *_groups(intent), *_scattered(intent), *_host_names(intent)]
    if problems:
        raise IntentError(problems)
    parsed: dict[str, Any] = {}
    for name, kind in VARIABLES.items():
        parsed[name] = _validated(kind, intent.variables.get(name), (name,), problems, optional=name in OPTIONAL)
    hosts = {host: _validated(Host, value, ("hosts", host, "llm_host"), problems) for host, value in intent.hosts.items()}
    if problems:
        raise IntentError(problems)
    fleet = _fleet(intent, parsed, hosts)
    if wrong := reference_problems(fleet):
        raise IntentError(wrong)
    return fleet


def _fleet(intent: Intent, parsed: Mapping[str, Any], hosts: Mapping[str, Host]) -> Fleet:
    addressed = {
        name: host
        if host.engine != "llama_cpp" or host.address
        else host.model_copy(update={"address": intent.addresses.get(name, name)})
        for name, host in hosts.items()
    }
    fields = {name.removeprefix("llm_"): value for name, value in parsed.items()}
    return Fleet.model_construct(hosts=addressed, router_host=intent.router_hosts[0], **fields)


def _unknown(intent: Intent) -> Iterable[Problem]:
    known = {*VARIABLES, *OTHERS}
    for path in intent.unknown_variables:
        yield Problem(path, "a variable of this name", "a variable that the plan knows", suggestion(path[-1], known))


def _scattered(intent: Intent) -> Iterable[Problem]:
    for host in intent.stray_hosts:
        remedy = "Put the host into the group engines, or remove its llm_host."
        yield Problem(("hosts", host, "llm_host"), "llm_host outside the group engines", "a host of engines", remedy)
    for name, first, other in intent.differing:
        remedy = "Write it once, in group_vars/all: the plan is the whole fleet's."
        yield Problem(("hosts", other, name), f"a {name} that differs from {first}'s", "one value for all hosts", remedy)


def _host_names(intent: Intent) -> Iterable[Problem]:
    for host in intent.hosts:
        if not re.fullmatch(NAME_PATTERN, host):
            yield Problem(("hosts", host), f"the name {host!r}", NAME_IN_WORDS, "Rename the host.")


def _groups(intent: Intent) -> Iterable[Problem]:
    if not intent.hosts:
        others = [name for name in intent.groups if name != "engines"]
        groups = suggestion("engines", others).replace("Known:", "Groups found:")
        remedy = f"Put the hosts that run an engine into the group engines. {groups}"
        yield Problem(("groups", "engines"), "no hosts", "at least one host", remedy)
    if len(intent.router_hosts) != 1:
        got = ", ".join(intent.router_hosts) or "no hosts"
        yield Problem(("groups", "router"), got, "exactly one host", "Name the one host that runs the LiteLLM proxy.")


def _validated(kind: Any, data: Any, path: Path, problems: list[Problem], optional: bool = False) -> Any:
    if data is None and optional:
        data = {}
    if data is None:
        remedy = f"Write {path[-1]}; inventory/homelab is a complete example."
        problems.append(Problem(path, "nothing", "a mapping", remedy))
        return None
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        problems.extend(_problem(item, kind, data, path) for item in error.errors())
        return None


def _problem(item: Any, kind: Any, data: Any, prefix: Path) -> Problem:
    place = _place(item["loc"], data, keep_last=item["type"] in ("missing", "extra_forbidden"))
    path = (*prefix, *place)
    if item["type"] == "extra_forbidden":
        known = {name for model in _classes_at(kind, item["loc"][:-1]) for name in model.model_fields}
        return Problem(path, f"the key {str(place[-1])!r}", "a known key", suggestion(place[-1], known))
    got = "nothing" if item["type"] == "missing" else shown(item["input"])
    return Problem(path, got, _expected(item), _remedy(kind, item["loc"]))


def _expected(item: Any) -> str:
    if item["type"] == "missing":
        return f"a value for {item['loc'][-1]}"
    if item["type"] == "union_tag_not_found":
        return "a mapping with kind, out of 'ollama', 'file', 'url', 'wheel', 'external'"
    if item["type"] == "string_pattern_mismatch" and item["ctx"]["pattern"] == NAME_PATTERN:
        return NAME_IN_WORDS
    if item["type"] == "union_tag_invalid":
        return f"a kind out of {item['ctx']['expected_tags']}"
    if item["type"] == "string_pattern_mismatch":
        return f"text of the form {item['ctx']['pattern']}"
    if item["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return "a mapping"
    message = str(item["msg"]).removeprefix("Value error, ").removeprefix("Input should be ").removeprefix("a valid ")
    return message[:1].lower() + message[1:]


def _remedy(kind: Any, loc: tuple[int | str, ...]) -> str:
    for model in _classes_at(kind, loc[:-1]) if loc else ():
        field = model.model_fields.get(str(loc[-1]))
        if field and field.description:
            return f"{loc[-1]}: {field.description}."
    return "Correct the value."


def _place(loc: tuple[int | str, ...], data: Any, keep_last: bool) -> Path:
    """The part of pydantic's location that exists in the data: union tags and type names are left out."""
    place: list[str | int] = []
    for index, part in enumerate(loc):
        if (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int)):
            place.append(part)
            container: Any = data
            data = container[part]
        elif keep_last and index == len(loc) - 1:
            place.append(part)
    return tuple(place)


def _classes_at(kind: Any, loc: tuple[int | str, ...]) -> list[type[Strict]]:
    """The schema classes that a value at ``loc`` may belong to."""
    classes = _classes_in(kind)
    for part in loc:
        fields = [model.model_fields[part].annotation for model in classes if part in model.model_fields]
        tagged = [model for model in classes if _tag(model) == part]
        if fields:
            classes = [model for field in fields for model in _classes_in(field)]
        elif tagged:
            classes = tagged
    return classes


def _tag(model: type[Strict]) -> str | None:
    field = model.model_fields.get("kind")
    tags = typing.get_args(field.annotation) if field else ()
    return tags[0] if len(tags) == 1 else None


def _classes_in(annotation: Any) -> list[type[Strict]]:
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in _classes_in(argument)]
