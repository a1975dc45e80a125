"""What is said of a release itself: compromised ones are errors, known weaknesses advice, each in its range."""

from __future__ import annotations

import pytest

from plugins.plugin_utils.audit.check import AuditError, audit
from plugins.plugin_utils.litellm_release import parse_release, releases

from .router_configs import right, text

CONTENT = text(right())


def weaknesses(release: str) -> set[str]:
    found = audit(CONTENT, release).findings
    assert {item.severity for item in found if item.rule.startswith("release-weakness")} <= {"advice"}
    return {item.rule.removeprefix("release-weakness-").upper() for item in found if item.rule.startswith("release-weakness")}


@pytest.mark.parametrize(("release", "stolen"), [("1.82.6", False), ("1.82.7", True), ("1.82.8", True), ("1.83.0", False)])
def test_compromised(release: str, stolen: bool) -> None:
    found = [item for item in audit(CONTENT, release).findings if item.rule == "release-compromised"]
    assert [item.severity for item in found] == (["error"] if stolen else [])


# Advisory, first and last release with it, by the table of reference/litellm.md 8.2; the next ones have it no more.
RANGES = [
    ("CVE-2026-35030", None, "1.82.8", "1.83.0"),
    ("CVE-2026-35029", None, "1.82.8", "1.83.0"),
    ("CVE-2026-42208", "1.81.16", "1.83.6", "1.83.7"),
    ("CVE-2026-42271", "1.74.2", "1.83.6", "1.83.7"),
    ("CVE-2026-42203", "1.80.5", "1.83.6", "1.83.7"),
    ("PYSEC-2026-4070", None, "1.83.8", "1.83.9"),
    ("CVE-2026-40217", "1.81.8", "1.83.9", "1.83.10"),
    ("CVE-2026-47101", None, "1.83.13", "1.83.14"),
    ("CVE-2026-49468", None, "1.83.14", "1.84.0"),
]


@pytest.mark.parametrize(("name", "first", "last", "mended"), RANGES, ids=[row[0] for row in RANGES])
def test_weakness(name: str, first: str | None, last: str, mended: str) -> None:
    assert name in weaknesses(last)
    assert name not in weaknesses(mended)
    assert name in weaknesses(first or "1.70.0")
    if first:
        release = parse_release(first)
        assert name not in weaknesses(f"{release.major}.{release.minor}.{release.patch - 1}")


def test_nothing_is_known_of_new_ones() -> None:
    assert [weaknesses(release) for release in ("1.84.0", "1.106.2", "1.109.1", "2.0.0")] == [set()] * 4


@pytest.mark.parametrize("said", ["v1.83.0", "1.83.0rc1", "1.83.0-nightly", "v1.83.0-stable", " 1.83.0 ", "1.83"])
def test_a_release_may_be_written(said: str) -> None:
    assert str(audit(CONTENT, said).subject.release) == "1.83.0"


@pytest.mark.parametrize("said", ["", "latest", "1", "1.x", "1.83.0.0.0", "9" * 400])
def test_a_release_that_is_none(said: str) -> None:
    with pytest.raises(AuditError, match="expected one such as"):
        audit(CONTENT, said)


def test_ranges_in_words() -> None:
    said = [
        str(releases(*bounds))
        for bounds in ((None, None), ("1.2.3", None), (None, "1.2.3"), ("1.2.3", "1.2.3"), ("1.2.3", "1.3.0"))
    ]
    assert said == ["all", "from 1.2.3 on", "up to 1.2.3", "1.2.3", "1.2.3 to 1.3.0"]
