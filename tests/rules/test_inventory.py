"""The names that the audit takes for known are those that the releases know."""

from __future__ import annotations

from plugins.plugin_utils.audit.litellm_keys import content, known
from plugins.plugin_utils.litellm_release import parse_release
from tests.rules.environments import RELEASES
from tests.rules.inventory import WHEELS, keys_of


def test_what_is_kept_is_what_the_release_knows(version: str) -> None:
    kept = {section: sorted(known(section, parse_release(version))) for section in content()[1]}
    assert kept == keys_of(version)


def test_the_releases_that_were_asked_are_those_of_the_tests() -> None:
    """The others were read."""
    assert content()[0] == tuple(sorted(map(parse_release, (*RELEASES, *WHEELS))))
