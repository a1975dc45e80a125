"""Each rule of the audit against real releases: where it speaks LiteLLM does go wrong, and only there."""

from __future__ import annotations

import pytest

from plugins.plugin_utils.audit.check import check
from tests.rules import rows_complexity, rows_fallbacks, rows_names, rows_order, rows_providers, rows_settings, rows_shape
from tests.rules.environments import RELEASES
from tests.rules.releases import Release
from tests.rules.rows import Row

TABLES = (rows_order, rows_names, rows_fallbacks, rows_complexity, rows_providers, rows_settings, rows_shape)
ROWS = [row for table in TABLES for row in table.ROWS]


def rules_of(config: str, version: str) -> set[str]:
    """What the audit says of a file, with names in place of the hosts' addresses: there all of them are one machine."""
    for name in "abc":
        config = config.replace(f"@{name}", f"http://{name}.example:11434")
    return {finding["rule"] for finding in check(config.encode(), version)}


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_the_wrong_file_goes_wrong_where_the_audit_says_so(row: Row, release: Release) -> None:
    seen = release.probe(row.bad, list(row.calls), row.hosts)
    assert row.wrong(seen) == (release.version in row.shown), seen
    assert (row.rule in rules_of(row.bad, release.version)) == (release.version in (row.shown if row.said is None else row.said))


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_the_right_file_works_and_the_audit_is_silent(row: Row, release: Release) -> None:
    if RELEASES.index(release.version) < RELEASES.index(row.right_from):
        pytest.skip(f"before {row.right_from} no file is right")
    seen = release.probe(row.right, list(row.calls), row.hosts)
    assert not row.wrong(seen), seen
    assert row.rule not in rules_of(row.right, release.version)


def test_no_two_rows_have_one_name() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
