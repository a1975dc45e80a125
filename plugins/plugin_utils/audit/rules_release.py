"""Rules about the release itself: what was stolen with it, and what is known to be weak in it (reference 8.2)."""

from __future__ import annotations

from collections.abc import Iterator

from ..litellm_release import Range, parse_release, releases
from .finding import Found, Rule, Subject, rule

# Identifier, what it is, which releases, the first one without it.
ADVISORIES: tuple[tuple[str, str, Range, str], ...] = (
    ("CVE-2026-35030", "a collision in the cache of OIDC users lets others in", releases(until="1.82.8"), "1.83.0"),
    ("CVE-2026-35029", "/config/update gives more rights than a user has", releases(until="1.82.8"), "1.83.0"),
    ("CVE-2026-42208", "SQL injection before any login, with a database; exploited", releases("1.81.16", "1.83.6"), "1.83.7"),
    ("CVE-2026-42271", "command injection by an MCP server over stdio; exploited", releases("1.74.2", "1.83.6"), "1.83.7"),
    ("CVE-2026-42203", "template injection in /prompts/test", releases("1.80.5", "1.83.6"), "1.83.7"),
    ("PYSEC-2026-4070", "a client can have the proxy ask any address, by user_config", releases(until="1.83.8"), "1.83.9"),
    ("CVE-2026-40217", "code leaves its sandbox in /guardrails/test_custom_code", releases("1.81.8", "1.83.9"), "1.83.10"),
    ("CVE-2026-47101", "a plain user becomes administrator and runs code (press only)", releases(until="1.83.13"), "1.83.14"),
    (
        "CVE-2026-49468",
        "a forged Host header passes the login; a proxy that checks Host blocks it",
        releases(until="1.83.99"),
        "1.84.0",
    ),
)
STOLEN = frozenset(map(parse_release, ("1.82.7", "1.82.8")))


@rule(
    "release-compromised",
    "error",
    "PYSEC-2026-2, MAL-2026-2144: the package steals keys and credentials of the machine that runs it.",
)
def release_compromised(subject: Subject) -> Iterator[Found]:
    if subject.release in STOLEN:
        mend = "Take another release, and change every secret of each machine that ever ran it."
        yield Found((), f"LiteLLM {subject.release}", "a release that nobody tampered with", mend, line=1)


def _weakness(name: str, what: str, range_: Range, mended: str) -> Rule:
    def look(subject: Subject) -> Iterator[Found]:
        yield Found(
            (),
            f"LiteLLM {subject.release}",
            f"{mended} or newer",
            f"Update to the newest patch of a maintained line, {mended} at least.",
            line=1,
        )

    return Rule(f"release-weakness-{name.lower()}", "advice", f"{name}: {what}.", look, range_)


WEAKNESSES = tuple(_weakness(*item) for item in ADVISORIES)
