"""The audit of a LiteLLM configuration: every rule on one file, in the order of severity and line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from ..litellm_release import Release, parse_release
from ..yaml_document import Document, YamlError, read_yaml
from . import (
    rules_addresses,
    rules_chains,
    rules_fleet,
    rules_keys,
    rules_names,
    rules_order,
    rules_providers,
    rules_release,
    rules_settings,
    rules_shape,
    rules_stack,
    rules_values,
)
from .config import Config
from .finding import SEVERITIES, Finding, FleetView, Rule, Stack, Subject
from .litellm_keys import oldest as oldest_asked
from .survival import Row, survival

MODULES = (
    rules_shape,
    rules_order,
    rules_providers,
    rules_addresses,
    rules_names,
    rules_chains,
    rules_settings,
    rules_values,
    rules_keys,
    rules_release,
    rules_fleet,
)
RULES: tuple[Rule, ...] = tuple(
    [item for module in MODULES for item in vars(module).values() if isinstance(item, Rule)] + list(rules_release.WEAKNESSES)
)
STACK_RULES: tuple[Rule, ...] = tuple(item for item in vars(rules_stack).values() if isinstance(item, Rule))
# The release of our own role, which a configuration is held against when nobody says which one runs it.
PINNED = parse_release("1.106.2")
# What has the proxy read models from its database (proxy_server.py:11025 of 1.106.2).
STORES_MODELS = "STORE_MODEL_IN_DB"
NAMED, IMAGE = "named", "by the image in the stack file"
NOBODY = "nobody named one: this is the one that our role installs"


class AuditError(ValueError):
    """The files cannot be audited at all; the message says what was got and expected."""


@dataclass(frozen=True)
class Audit:
    """What was found in a configuration, and the configuration itself for those who go on with it."""

    findings: tuple[Finding, ...]
    subject: Subject
    # Why it was held against that release.
    reason: str
    # The same audit of another content of the file.
    again: Callable[[bytes], Audit]

    @cached_property
    def survival(self) -> list[Row]:
        """Who is served while hosts are down."""
        return survival(self.subject.config, self.subject.release)

    @property
    def held_against(self) -> str:
        """The release, why that one, and whose names stand in for its own where it is older than all that were asked."""
        oldest = oldest_asked()
        older = f"; the names of settings are those of {oldest}, the oldest that was asked" if self.release < oldest else ""
        return f"LiteLLM {self.release} ({self.reason}{older})"

    @property
    def release(self) -> Release:
        """The release that it was held against."""
        return self.subject.release

    def counts(self) -> dict[str, int]:
        """Severity -> how many."""
        return {severity: sum(item.severity == severity for item in self.findings) for severity in SEVERITIES}

    def reaches(self, threshold: str) -> bool:
        """Whether a finding is as bad as the threshold, or worse; ``none`` is never reached."""
        if threshold == "none":
            return False
        return any(SEVERITIES.index(item.severity) <= SEVERITIES.index(threshold) for item in self.findings)


def check(content: bytes, release: Release | str | None = None, environment: Iterable[str] = ()) -> list[dict[str, Any]]:
    """The findings of a file: {rule, severity, path, line, got, expected, why, mend, versions} each. Raises AuditError."""
    return [item.plain() for item in audit(content, release, environment).findings]


def audit(
    content: bytes,
    release: Release | str | None = None,
    environment: Iterable[str] = (),
    stack: bytes | None = None,
    fleet: FleetView | None = None,
) -> Audit:
    """Hold a configuration against every rule of the release that runs it.

    ``release`` None: what the stack's image says, else the one that our role installs. ``environment``: names of variables
    that the proxy has. ``stack``: a compose or stack file in which it runs. Raises AuditError.
    """
    document = _read(content, "the configuration")
    surroundings = _stack(stack)
    given, stacked = frozenset(environment), _stack_names(surroundings)
    config = Config(document.data, _stores_models(given, surroundings))
    # Not those of the section environment_variables: os.environ/… is read before them (on all four releases that were asked).
    names = given | stacked
    whole = bool(given) or (bool(stacked) and not _has_env_file(surroundings))
    held, reason = _release(release, surroundings)
    subject = Subject(document, config, held, names, whole, surroundings, fleet)
    found = [finding for rule in RULES for finding in rule.findings(subject)]
    if surroundings:
        # Their places are in the other file.
        around = replace(subject, document=surroundings.document)
        found += [replace(finding, file="stack") for rule in STACK_RULES for finding in rule.findings(around)]
    again = partial(audit, release=held, environment=given, stack=stack, fleet=fleet)
    return Audit(tuple(sorted(found, key=_rank)), subject, reason, again)


def _rank(finding: Finding) -> tuple[int, bool, int, str, str]:
    return (SEVERITIES.index(finding.severity), finding.file is not None, finding.line or 0, finding.rule, finding.path)


def _read(content: bytes, what: str) -> Document:
    try:
        return read_yaml(content)
    except YamlError as error:
        raise AuditError(f"{what} cannot be read: {error}") from None


def _stack(content: bytes | None) -> Stack | None:
    if content is None:
        return None
    document = _read(content, "the stack file")
    services = rules_stack.litellm_services(document.data)
    if not services:
        raise AuditError("the stack file has no service with an image of LiteLLM; expected one, or no stack file")
    return Stack(document, services)


def _stack_names(stack: Stack | None) -> frozenset[str]:
    """Variables that the file itself gives to the services."""
    services: Mapping[str, Mapping[str, Any]] = stack.services if stack else {}
    return frozenset(name for service in services.values() for name in rules_stack.service_environment(service))


def _stores_models(given: frozenset[str], stack: Stack | None) -> bool:
    """Whether models may come from a database: a variable says so, or what it says is not known here."""
    services = stack.services.values() if stack else ()
    values = [rules_stack.service_environment(service).get(STORES_MODELS) for service in services]
    said = [value for value in values if value is not None]
    return any(value.strip().lower() == "true" or "$" in value for value in said) or (not said and STORES_MODELS in given)


def _has_env_file(stack: Stack | None) -> bool:
    return any(service.get("env_file") for service in (stack.services.values() if stack else ()))


def _release(release: Release | str | None, stack: Stack | None) -> tuple[Release, str]:
    """The release, and why that one."""
    if isinstance(release, Release):
        return release, NAMED
    if release is not None:
        return _parsed(release), NAMED
    found = (rules_stack.image_release(service) for service in (stack.services.values() if stack else ()))
    named = next((item for item in found if item), None)
    return (named, IMAGE) if named else (PINNED, NOBODY)


def _parsed(release: object) -> Release:
    """A release as somebody wrote it. A number has lost its last zeros: 1.110 is 1.11."""
    if not isinstance(release, str):
        raise AuditError(f"got the LiteLLM version {release!r}, a number; expected text. Write all of it in quotes: '1.106.2'")
    try:
        return parse_release(release)
    except ValueError as error:
        raise AuditError(str(error)) from None
