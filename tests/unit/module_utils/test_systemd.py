"""What systemctl prints, read as data."""

from __future__ import annotations

import pytest

from plugins.module_utils.systemd import Unit, parse_show, real_units, unit_names

LISTED = [
    ("", []),
    ("a.service enabled enabled\nb-c.service disabled enabled\n", ["a.service", "b-c.service"]),
]


@pytest.mark.parametrize(("listed", "names"), LISTED)
def test_units_are_listed(listed, names):
    assert unit_names(listed) == names


FOLDER = "/etc/systemd/system"
DROP_INS = [f"{FOLDER}/{name}.service.d/instance.conf" for name in ("a@one", "a@two", "b@one", "c")]
REAL = [
    (["a@.service", "ab.service"], [], "a*", ["ab.service"]),
    (["a@.service", "ab.service"], DROP_INS, "a*", ["a@one.service", "a@two.service", "ab.service"]),
    (["a@.service"], DROP_INS, "a@*", ["a@one.service", "a@two.service"]),
    (["a@.service", "a@one.service"], DROP_INS, "a@one", ["a@one.service"]),
    ([], DROP_INS, "d*", []),
]


@pytest.mark.parametrize(("listed", "drop_ins", "pattern", "names"), REAL, ids=range(len(REAL)))
def test_templates_are_no_services_but_their_instances_are(listed, drop_ins, pattern, names):
    assert real_units(listed, drop_ins, pattern) == names


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
