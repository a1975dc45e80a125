"""The pictures of a plan's routing: whole, in frames that hold their text, escaped, the same for the same plan."""

from __future__ import annotations

import copy
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from plugins.plugin_utils.intent import parse_fleet
from plugins.plugin_utils.plan import make_plan
from plugins.plugin_utils.routing_layout import PADDING, SIZE, SMALL, picture, width_of
from plugins.plugin_utils.routing_mermaid import mermaid
from plugins.plugin_utils.routing_svg import svg
from tests.unit.inventories import ROOT, plan_of
from tests.unit.random_fleets import SEEDS, random_intent

SOME = [seed for seed in SEEDS if seed % 4 == 0]
HOSTILE = '<script>"&]-->'
SHOWN = ("README.md", "docs/routing.md")


@pytest.fixture(scope="module")
def plans() -> list[dict[str, Any]]:
    return [plan_of("inventory/homelab"), *(make_plan(parse_fleet(random_intent(seed)), "random") for seed in SOME)]


def texts(drawn: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]


def test_every_name_is_in_the_picture_in_full(plans: list[dict[str, Any]]) -> None:
    for plan in plans:
        found = {text.strip().removeprefix("on ") for text in texts(svg(plan))}
        assert {*plan["aliases"], *plan["router"]["smart"], *plan["router"]["clients"]} <= found
        items = [item for entry in plan["aliases"].values() for item in entry["deployments"]]
        assert {name for item in items for name in (item["model"], item["host"])} <= found


def test_frames_hold_their_text_and_do_not_overlap(plans: list[dict[str, Any]]) -> None:
    for plan in plans:
        drawn = picture(plan)
        for box in drawn.boxes:
            assert box.width >= 2 * PADDING + max(width_of(box.lines[:1], SIZE), width_of(box.lines[1:], SMALL))
            assert box.x >= 0
            assert box.right < drawn.size[0]
            assert box.y + box.height < drawn.size[1]
        for index, one in enumerate(drawn.boxes):
            for other in drawn.boxes[index + 1 :]:
                beside = one.right <= other.x or other.right <= one.x
                assert beside or one.y + one.height <= other.y or other.y + other.height <= one.y, (one, other)


def test_no_arrow_to_an_alias_runs_behind_another_frame(plans: list[dict[str, Any]]) -> None:
    for plan in plans:
        drawn = picture(plan)
        for arrow in drawn.arrows:
            x, y = arrow.end
            for box in drawn.boxes:
                inside = arrow.level_x < box.right and box.x < x and box.y < y < box.y + box.height
                assert not inside, (arrow, box)


def hostile() -> dict[str, Any]:
    plan = copy.deepcopy(plan_of("inventory/homelab"))
    plan["inventory"] = HOSTILE
    plan["aliases"] = {HOSTILE if name == "coding" else name: entry for name, entry in plan["aliases"].items()}
    plan["aliases"]["tools_fast"]["deployments"][0] |= {"model": HOSTILE, "host": HOSTILE}
    plan["router"]["clients"] = {HOSTILE: {"aliases": [HOSTILE], "models": [HOSTILE]}}
    return plan


def test_what_a_name_holds_is_text_and_nothing_else() -> None:
    drawn = svg(hostile())
    assert "<script" not in drawn
    assert texts(drawn).count(HOSTILE) == 3
    written = mermaid(hostile())
    assert HOSTILE not in written
    assert "<" not in written
    assert written.count("#60;script#62;#34;#38;#93;--#62;") == 4


def test_every_node_of_the_flowchart_is_defined_before_an_arrow_uses_it(plans: list[dict[str, Any]]) -> None:
    for plan in plans:
        nodes: set[str] = set()
        lines = mermaid(plan).splitlines()
        assert lines[0] == "flowchart LR"
        defined = {found[1] for line in lines if (found := re.match(r"\s+([acsm]\d+)[\[({/]", line))}
        for line in lines:
            if found := re.match(r"\s+([acs]\d+) (?:-->|--|-\.).*?> ([asm]\d+)$", line):
                nodes |= {found[1], found[2]}
        assert nodes <= defined
        orders = sum(len(entry["deployments"]) for entry in plan["aliases"].values())
        assert len(re.findall(r'-- "\d+" -->', "\n".join(lines))) == orders


def test_the_same_plan_gives_the_same_pictures() -> None:
    one, other = plan_of("inventory/homelab"), plan_of("inventory/homelab")
    assert (svg(one), mermaid(one)) == (svg(other), mermaid(other))


def test_it_can_be_read_on_a_dark_background_and_without_eyes() -> None:
    drawn = svg(plan_of("inventory/homelab"))
    assert "@media (prefers-color-scheme: dark)" in drawn
    root = ElementTree.fromstring(drawn)
    said = root.findtext("{http://www.w3.org/2000/svg}desc") or ""
    assert root.get("role") == "img"
    assert "vision: qwen3.5:9b on banana, then qwen3.5:9b on clementine; when all are down, tools_slow." in said


@pytest.mark.parametrize("name", SHOWN)
def test_the_flowchart_of_the_example_that_is_shown_is_the_present_one(name: str) -> None:
    """`make docs` puts it there."""
    assert f"```mermaid\n{mermaid(plan_of('inventory/homelab'))}```" in (ROOT / name).read_text(encoding="utf-8")


def test_the_picture_of_the_example_that_is_shown_is_the_present_one() -> None:
    assert (ROOT / "docs" / "routing.svg").read_text(encoding="utf-8") == svg(plan_of("inventory/homelab"))
