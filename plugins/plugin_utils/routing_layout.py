"""Where everything stands in the picture of a plan's routing: one row per alias, from left to right what happens to a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .routing_mermaid import tiers_by_alias

# Pixels. A character of a monospaced font is 0.6 of its size wide, of some 0.62.
SIZE = 13
SMALL = 11
CHARACTER = 0.62
LINE = 18
PADDING = 12
ROW = 66
BOX = 2 * LINE + 10
COLUMN_GAP = 56
MARGIN = 24
HEADING = 40


@dataclass(frozen=True)
class Box:
    """A frame with lines of text; the first is its name. ``kind`` decides how it is drawn."""

    lines: tuple[str, ...]
    kind: str
    x: float
    y: float
    width: float

    @property
    def height(self) -> float:
        return max(BOX, len(self.lines) * LINE + 10)

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    @property
    def right(self) -> float:
        return self.x + self.width


@dataclass(frozen=True)
class Arrow:
    """From a point to a point; it is level from ``level_x`` on, where it passes other boxes."""

    start: tuple[float, float]
    end: tuple[float, float]
    kind: str
    level_x: float


@dataclass
class Picture:
    """All that is drawn."""

    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    headings: list[tuple[float, float, str]] = field(default_factory=list)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height with the margin around it."""
        ends = [x + width_of([text], SMALL) for x, _y, text in self.headings]
        right = max([*(box.right for box in self.boxes), *ends])
        return right + MARGIN, max(box.y + box.height for box in self.boxes) + MARGIN


def width_of(lines: Sequence[str], size: float = SIZE) -> float:
    """How wide text of this size is at most."""
    return max((len(line) for line in lines), default=0) * CHARACTER * size


def picture(plan: Mapping[str, Any]) -> Picture:
    """The picture of a plan's routing."""
    made = Picture()
    smart_lines = {name: tuple(_smart_lines(name, entry)) for name, entry in plan["router"]["smart"].items()}
    top = MARGIN + HEADING
    clients_width = _column(_client_lines(name, said) for name, said in plan["router"]["clients"].items())
    smart_x = MARGIN + (clients_width + COLUMN_GAP if clients_width else 0)
    smart_width = _column(smart_lines.values())
    names_x = smart_x + (smart_width + COLUMN_GAP if smart_width else 0)
    below = sum(max(BOX, len(lines) * LINE + 10) + LINE for lines in smart_lines.values())
    smart = _stack(smart_lines, "smart", smart_x, smart_width, top)
    aliases = _rows(made, plan, names_x, top + (below + HEADING if below else 0))
    made.boxes += smart.values()
    _tier_arrows(made, plan, smart, aliases)
    _clients(made, plan, clients_width, {**smart, **aliases}, smart_x - COLUMN_GAP / 3)
    if smart:
        made.headings.append((smart_x, MARGIN + LINE, "chosen by what is asked"))
    return made


def _column(texts: Any) -> float:
    widths = [max(width_of(lines[:1]), width_of(lines[1:], SMALL)) for lines in texts]
    return max(widths) + 2 * PADDING if widths else 0.0


def _client_lines(name: str, said: Mapping[str, Any]) -> tuple[str, ...]:
    """Arrows of several clients meet: the names stand in the box too."""
    return name, "asks for", *(f"  {alias}" for alias in said["aliases"])


def _smart_lines(name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    yield name
    yield from (", ".join(tiers) for tiers in tiers_by_alias(entry).values())
    if entry["fallbacks"]:
        yield "all down: answered as"
        yield from (f"  {'' if index == 0 else 'then '}{target}" for index, target in enumerate(entry["fallbacks"]))


def _stack(lines: Mapping[str, tuple[str, ...]], kind: str, x: float, width: float, top: float) -> dict[str, Box]:
    found: dict[str, Box] = {}
    for name, said in lines.items():
        found[name] = Box(said, kind, x, top, width)
        top += found[name].height + LINE
    return found


def _rows(made: Picture, plan: Mapping[str, Any], x: float, top: float) -> dict[str, Box]:
    """One row per alias: itself, its deployments by order, and the names that answer when all of these are down."""
    names = {name: (name, _about(entry)) for name, entry in plan["aliases"].items()}
    width = _column(names.values())
    aliases = {name: Box(lines, "alias", x, top + ROW * index, width) for index, (name, lines) in enumerate(names.items())}
    made.boxes += aliases.values()
    made.headings.append((x, top - LINE, "alias"))
    last = dict(aliases)
    x += width + COLUMN_GAP
    for order in range(1, max(len(entry["deployments"]) for entry in plan["aliases"].values()) + 1):
        found = {name: item for name, entry in plan["aliases"].items() for item in entry["deployments"] if item["order"] == order}
        lines = {name: (item["model"], f"on {item['host']}") for name, item in found.items()}
        made.headings.append((x, top - LINE, "asked first" if order == 1 else "then"))
        x = _place(made, lines, "first" if order == 1 else "next", "order", x, last)
    for position in range(max(len(entry["fallbacks"]) for entry in plan["aliases"].values())):
        targets = {name: entry["fallbacks"] for name, entry in plan["aliases"].items() if len(entry["fallbacks"]) > position}
        lines = {name: (chain[position], "another alias") for name, chain in targets.items()}
        made.headings.append((x, top - LINE, "all down: answered as" if position == 0 else "then"))
        x = _place(made, lines, "fallback", "degrade", x, last)
    return aliases


def _about(entry: Mapping[str, Any]) -> str:
    return f"{entry['mode']}, {entry['timeout_s']:g} s at most"


def _place(made: Picture, lines: Mapping[str, tuple[str, ...]], kind: str, arrow: str, x: float, last: dict[str, Box]) -> float:
    """One column of boxes, each with an arrow from the last one of its row. Returns where the next column begins."""
    width = _column(lines.values())
    for name, said in lines.items():
        before = last[name]
        last[name] = Box(said, kind, x, before.y, width)
        made.boxes.append(last[name])
        made.arrows.append(Arrow((before.right, before.middle), (x, before.middle), arrow, x))
    return x + width + COLUMN_GAP


def _tier_arrows(made: Picture, plan: Mapping[str, Any], smart: Mapping[str, Box], aliases: Mapping[str, Box]) -> None:
    """From the line of a tier to the alias that stands for it."""
    for name, box in smart.items():
        for index, alias in enumerate(tiers_by_alias(plan["router"]["smart"][name]), 1):
            end = aliases[alias]
            start = (box.right, box.y + 5 + LINE * (index + 0.5))
            made.arrows.append(Arrow(start, (end.x, end.middle), "tier", end.x))


def _clients(made: Picture, plan: Mapping[str, Any], width: float, names: Mapping[str, Box], level_x: float) -> None:
    """Clients stand beside the middle of what they ask for, one below the other."""
    asked = {client: [names[name] for name in said["aliases"]] for client, said in plan["router"]["clients"].items()}
    if asked:
        made.headings.append((MARGIN, MARGIN + LINE, "clients"))
    top = float(MARGIN + HEADING)
    for client in sorted(asked, key=lambda name: (sum(box.middle for box in asked[name]) / len(asked[name]), name)):
        middle = sum(box.middle for box in asked[client]) / len(asked[client])
        lines = _client_lines(client, plan["router"]["clients"][client])
        box = Box(lines, "client", MARGIN, max(top, middle - BOX / 2), width)
        made.boxes.append(box)
        top = box.y + box.height + LINE
        for target in asked[client]:
            made.arrows.append(Arrow((box.right, box.middle), (target.x, target.middle), "client", level_x))
