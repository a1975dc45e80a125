"""What systemctl prints, read as data."""

from __future__ import annotations

import pytest

from plugins.module_utils.systemd import Unit, parse_show, unit_names

LISTED = [
    ("", []),
    ("a.service enabled enabled\nb-c.service disabled enabled\n", ["a.service", "b-c.service"]),
]


@pytest.mark.parametrize(("listed", "names"), LISTED)
def test_units_are_listed(listed, names):
    assert unit_names(listed) == names


SHOWN = [
    ("", []),
    ("Id=a.service\nActiveState=active\nMainPID=17\n", [Unit("a", "active", 17)]),
    (
        "MainPID=0\nId=a.service\nActiveState=failed\n\nId=b.service\nActiveState=active\nMainPID=4\n",
        [Unit("a", "failed", None), Unit("b", "active", 4)],
    ),
]


@pytest.mark.parametrize(("shown", "units"), SHOWN)
def test_units_are_shown(shown, units):
    assert parse_show(shown) == units
