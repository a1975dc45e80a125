"""Rules about the master key, and about variables of the proxy's environment."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..litellm_release import parse_release, releases
from ..problems import Path
from .addresses import is_environment
from .finding import Edit, Found, Subject, rule

# Published in examples and documentation.
PUBLISHED_KEYS = frozenset(
    {"sk-1234", "sk-12345", "sk-123456", "sk-1234567890", "sk-test", "sk-master", "sk-litellm", "sk-master-key"}
)
# The one that LiteLLM itself refuses, from that release on (master_key_boot_check.py of 1.106.2 knows its digest and no other).
REFUSED_KEY, REFUSED_SINCE = "sk-1234", parse_release("1.104.0")
REFUSES = "The key stands in documentation: everybody has it. The proxy refuses to start with it."
# Stands for general_settings.dangerously_permit_weak_or_unset_master_key.
PERMITS = "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"
# Settings that name a place outside the environment, which get_secret of 1.106.2 asks first for each os.environ/.
MANAGERS = ("key_management_system", "use_azure_key_vault", "use_google_kms")
# What other programs read as a variable: ${NAME}, $NAME, os.environ.NAME, os.environ['NAME'], os.env/NAME, os.getenv('NAME').
PLACEHOLDER = re.compile(
    r"\$\{(\w+)(?::?[-?][^{}]*)?\}|\$([A-Z][A-Z0-9_]{2,})|os\.(?:environ[.:\[(\\]|env[./:]|getenv\()[\s\"'(]*(?:get\()?[\"']?(\w*)\S*"
)
PART = re.compile(r"\$\{(\w+)[^{}]*\}")
ADDRESSES = ("api_base", "base_url")
# os.environ/ and a name that an environment can have.
NAMED = re.compile(r"os\.environ/[^\s${}]+")
MASTER_KEY: Path = ("general_settings", "master_key")


@rule(
    "master-key-missing",
    "error",
    "From 1.104.0 on the proxy refuses to start without a master key.",
    releases(since="1.104.0"),
)
def master_key_missing(subject: Subject) -> Iterator[Found]:
    general = subject.config.section("general_settings")
    permitted = general.get("dangerously_permit_weak_or_unset_master_key") is True or PERMITS in subject.environment
    key = general.get("master_key")
    blank = not key or (isinstance(key, str) and not key.strip())
    # An included file may bring one.
    silent = permitted or subject.config.data.get("include") or "LITELLM_MASTER_KEY" in subject.environment
    if subject.config.data and blank and not silent:
        unknown = "" if subject.environment_whole else " in the file (whether LITELLM_MASTER_KEY is set was not said)"
        mend = "Set master_key: os.environ/LITELLM_MASTER_KEY, or that variable alone."
        edits = (Edit(MASTER_KEY, "os.environ/LITELLM_MASTER_KEY"),)
        yield Found(MASTER_KEY, f"no master key{unknown}", "a master key", mend, edits=edits)


@rule("master-key-published", "error", "The key stands in documentation: everybody has it.")
def master_key_published(subject: Subject) -> Iterator[Found]:
    set_later = subject.config.section("environment_variables").get("LITELLM_MASTER_KEY")
    # No mend by rule: up to 1.103 the proxy serves without any key where the variable is not set.
    for path, key in (
        (MASTER_KEY, subject.config.section("general_settings").get("master_key")),
        (("environment_variables", "LITELLM_MASTER_KEY"), set_later),
    ):
        if isinstance(key, str) and key in PUBLISHED_KEYS:
            why = REFUSES if key == REFUSED_KEY and subject.release >= REFUSED_SINCE else None
            mend = "Generate one and keep it in the environment."
            yield Found(path, f"the example {key}", "a key of one's own", mend, why=why)


@rule("master-key-type", "error", "The proxy compares the key as text: any other value never matches.")
def master_key_type(subject: Subject) -> Iterator[Found]:
    key = subject.config.section("general_settings").get("master_key")
    if key is not None and not isinstance(key, str):
        yield Found(MASTER_KEY, f"a {type(key).__name__} (not shown)", "text", "Write it in quotes.")


@rule(
    "environment-missing",
    "error",
    "The variable is not in what was said of the proxy's environment: LiteLLM reads nothing in its place.",
)
def environment_missing(subject: Subject) -> Iterator[Found]:
    late, general = subject.config.section("environment_variables"), subject.config.section("general_settings")
    whole = subject.environment_whole and not any(general.get(name) for name in MANAGERS)
    for path, value, name in _wanted(subject) if whole else ():
        if name not in subject.environment and name not in late:
            yield Found(path, value, "a variable that is set", f"Set {name} in the proxy's environment.")


@rule(
    "environment-too-late",
    "error",
    "LiteLLM reads every os.environ/ of the file before it sets environment_variables: it reads nothing there.",
)
def environment_too_late(subject: Subject) -> Iterator[Found]:
    """So on all four releases that were asked; what a callback reads later it finds."""
    late = subject.config.section("environment_variables")
    for path, value, name in _wanted(subject):
        if name in late and name not in subject.environment and path[0] != "environment_variables":
            got = f"{value}, which only environment_variables sets"
            yield Found(path, got, "a variable of the proxy's process", f"Set {name} where the proxy is started.")


@rule(
    "placeholder-literal",
    "error",
    "LiteLLM puts a variable in for os.environ/NAME alone: of anything else the text itself is used, as a key or an address.",
)
def placeholder_literal(subject: Subject) -> Iterator[Found]:
    """Whole values, and parts of addresses; asked of 1.106.2. What other programs write into the file has to be done before."""
    for path, value in _texts(subject.config.data, ()):
        found = PLACEHOLDER.fullmatch(value) or (PART.search(value) if path[-1] in ADDRESSES else None)
        name = next((part for part in found.groups() if part), "") if found else ""
        if found or (is_environment(value) and not NAMED.fullmatch(value)):
            got = "a placeholder" if found else "os.environ/ without a name behind it"
            mend = f"Write os.environ/{name or 'NAME'}{' for the whole address' if found and path[-1] in ADDRESSES else ''}."
            yield Found(path, f"{got}{f' for {name}' if name else ''}", "os.environ/NAME", mend)


def _wanted(subject: Subject) -> Iterator[tuple[Path, str, str]]:
    """Each place that names a variable, what it says, and the variable."""
    return ((path, value, value.partition("/")[2]) for path, value in _texts(subject.config.data, ()) if NAMED.fullmatch(value))


def _texts(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(item, (*path, key))
