"""The routing of a plan as an SVG picture: readable in print and without colour, on light and on dark backgrounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from .routing_layout import LINE, PADDING, SIZE, SMALL, Arrow, Box, Picture, picture

# What is drawn tells the kinds apart by their frames: thick, thin, dashed, rounded. Colours only follow the background.
STYLE = f"""
  .background {{ fill: #ffffff }}
  text {{ font: {SIZE}px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1f2328 }}
  .heading, .about {{ font-size: {SMALL}px; fill: #59636e }}
  .name {{ font-weight: 600 }}
  rect.frame {{ fill: #f6f8fa; stroke: #59636e; stroke-width: 1 }}
  rect.alias {{ fill: #ddf4ff; stroke: #0969da; stroke-width: 1.5 }}
  rect.smart, rect.client {{ stroke-width: 1.5 }}
  rect.first {{ stroke: #1f2328; stroke-width: 2.5 }}
  rect.fallback {{ fill: none; stroke-dasharray: 5 4 }}
  path.arrow {{ fill: none; stroke: #59636e; stroke-width: 1.4 }}
  path.degrade {{ stroke-dasharray: 5 4 }}
  marker path {{ fill: #59636e }}
  @media (prefers-color-scheme: dark) {{
    .background {{ fill: #0d1117 }}
    text {{ fill: #f0f6fc }}
    .heading, .about {{ fill: #9198a1 }}
    rect.frame {{ fill: #151b23; stroke: #9198a1 }}
    rect.alias {{ fill: #121d2f; stroke: #4493f8 }}
    rect.first {{ stroke: #f0f6fc }}
    rect.fallback {{ fill: none }}
    path.arrow {{ stroke: #9198a1 }}
    marker path {{ fill: #9198a1 }}
  }}
"""
ROUND = {"alias": 20, "client": 2, "smart": 10}


def svg(plan: Mapping[str, Any]) -> str:
    """The picture as a file of its own."""
    drawn = picture(plan)
    width, height = (f"{length:.0f}" for length in drawn.size)
    area = f'width="{width}" height="{height}"'
    title = escape(f"Routing of the inventory {plan['inventory']}")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {area} viewBox="0 0 {width} {height}">',
            f"<title>{title}</title>",
            f"<desc>{escape(' '.join(_sentences(plan)))}</desc>",
            f"<style>{STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0 L8 4 L0 8 z"/></marker></defs>',
            f'<rect class="background" {area}/>',
            *_shapes(drawn),
            "</svg>",
            "",
        ]
    )


def _sentences(plan: Mapping[str, Any]) -> Iterator[str]:
    """The same in words, for those who cannot see it."""
    for name, entry in plan["aliases"].items():
        asked = ", then ".join(f"{item['model']} on {item['host']}" for item in entry["deployments"])
        chain = f"; when all are down, {', then '.join(entry['fallbacks'])}" if entry["fallbacks"] else ""
        yield f"{name}: {asked}{chain}."


def _shapes(drawn: Picture) -> Iterator[str]:
    """Arrows lie below the boxes."""
    yield from (f'<text class="heading" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>' for x, y, text in drawn.headings)
    yield from (_arrow(arrow) for arrow in drawn.arrows)
    for box in drawn.boxes:
        yield from _box(box)


def _arrow(arrow: Arrow) -> str:
    (x, y), (end_x, end_y) = arrow.start, arrow.end
    middle = (x + arrow.level_x) / 2
    path = f"M{x:.1f} {y:.1f} C{middle:.1f} {y:.1f} {middle:.1f} {end_y:.1f} {arrow.level_x:.1f} {end_y:.1f}"
    level = f" L{end_x:.1f} {end_y:.1f}" if end_x != arrow.level_x else ""
    return f'<path class="arrow {arrow.kind}" marker-end="url(#head)" d="{path}{level}"/>'


def _box(box: Box) -> Iterator[str]:
    corner = ROUND.get(box.kind, 5)
    place = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="{corner}"'
    yield f'<rect class="frame {box.kind}" {place}/>'
    lines = [line for line in box.lines if line]
    top = box.middle - len(lines) * LINE / 2 + SIZE
    for index, line in enumerate(lines):
        kind = "name" if index == 0 else "about"
        place = f'x="{box.x + PADDING:.1f}" y="{top + index * LINE:.1f}"'
        yield f'<text class="{kind}" {place} xml:space="preserve">{escape(line)}</text>'
