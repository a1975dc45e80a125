"""Whatever the file: findings, or one clear error. Five hundred mutations, and the worst that was thought of."""

from __future__ import annotations

import json

import pytest

from plugins.plugin_utils.audit.check import Audit, AuditError, audit
from plugins.plugin_utils.audit.mend import mend_diff, mended
from plugins.plugin_utils.audit.said import said
from plugins.plugin_utils.audit.sarif import sarif
from plugins.plugin_utils.yaml_document import YamlError

from .mutations import WORST, mutated

MUTATIONS, AT_ONCE = 500, 25
RELEASES = ("1.82.6", "1.98.1", "1.106.2", "1.83.14", "1.109.1")
# A message that a terminal shows in a few lines.
CLEAR = 400


def audited(content: bytes, release: str) -> Audit | None:
    """Everything that is made of a file; None where it cannot be read, of which one line says why."""
    try:
        found = audit(content, release)
    except AuditError as error:
        said_of_it = str(error)
    else:
        shown(content, found)
        return found
    assert 0 < len(said_of_it) <= CLEAR
    assert "\n" not in said_of_it
    return None


def shown(content: bytes, found: Audit) -> None:
    assert said(found, "config.yaml")[-1]
    assert json.loads(json.dumps([item.plain() for item in found.findings])) is not None
    assert sarif(found.findings, "config.yaml")["version"] == "2.1.0"
    mend(content, found)


def mend(content: bytes, found: Audit) -> None:
    """What was mended can still be read, and is not found again."""
    try:
        text, done = mended(content, found.findings)
    except YamlError:
        # Read in another encoding than the one in which alone something is written.
        with pytest.raises(UnicodeDecodeError):
            content.decode()
        return
    assert bool(done) == bool(mend_diff(content, text, "config.yaml"))
    again = {(item.rule, item.path, item.got) for item in audit(text.encode(), found.subject.release).findings}
    assert [item for item in done if (item.rule, item.path, item.got) in again] == []


@pytest.mark.parametrize("first", range(0, MUTATIONS, AT_ONCE))
def test_mutations(first: int) -> None:
    read = [audited(mutated(number), RELEASES[number % len(RELEASES)]) for number in range(first, first + AT_ONCE)]
    assert sum(found is not None for found in read) >= AT_ONCE // 4


def test_a_mutation_is_always_the_same() -> None:
    assert [mutated(number) for number in range(20)] == [mutated(number) for number in range(20)]
    assert len({mutated(number) for number in range(100)}) > 90


@pytest.mark.parametrize("name", WORST)
@pytest.mark.parametrize("release", ["1.82.6", "1.109.1"])
def test_the_worst(name: str, release: str) -> None:
    audited(WORST[name], release)
