"""Diagrams of what flows from box to box, as SVG: rows from above, text of 12 px.

The layout is that of Sugiyama, Tagawa, Toda (IEEE Transactions on Systems, Man, and Cybernetics
11(2), 1981): a box lies a row below the lowest that it reads, a line over several rows gets a place
in each, and the places of a row are ordered by the mean of their neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from markupsafe import escape

LETTER, BOLD = 6.9, 7.9  # pixels; wide enough for the usual fonts at 12 px
LINE = 16
PADDING = 9
MARGIN = 8
GAP = 18  # between the boxes of a row
LANE = 10  # the width that a passing line takes
BETWEEN = 34  # rows
SWEEPS = 24
"""More change nothing in any diagram of ours."""

STYLE = (
    "svg:root{color:#1f2430;background:#fff}"
    "@media(prefers-color-scheme:dark){svg:root{color:#e6e6e6;background:#1e2129}}"
    ".ff-d text{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;"
    "fill:currentColor;text-anchor:middle}"
    ".ff-d .name{font-weight:600}"
    ".ff-d rect{stroke:currentColor;fill:#0072b2;fill-opacity:.14;stroke-opacity:.55}"
    ".ff-d .function rect{fill:#e69f00;fill-opacity:.18}"
    ".ff-d .data rect{fill:none;stroke-dasharray:4 3}"
    ".ff-d path{stroke:currentColor;stroke-opacity:.65;fill:none;stroke-width:1.2}"
    ".ff-d .tip{fill:currentColor;fill-opacity:.65;stroke:none}"
)
"""Colours follow the page that the drawing stands in; as a file of its own, the system's."""


class Box(NamedTuple):
    """One box of a diagram."""

    name: str
    """Unlike that of every other box."""
    lines: tuple[str, ...]
    """Of text; the first one stands out."""
    kind: str
    """``module``, ``function`` or ``data``."""
    inputs: tuple[str, ...]
    """Names of the boxes that it reads, in order; they come before it."""


def draw(boxes: Sequence[Box], title: str, description: str) -> str:
    """A diagram as a whole SVG document.

    Args:
        boxes: in an order in which each comes behind those it reads.
        title: what it shows, for screen readers and as a tooltip.
        description: the same in a sentence or two, for screen readers.

    Raises:
        ValueError: no boxes, a name twice, or an input that does not come before.
    """
    _check(boxes)
    rows, edges = _rows(boxes)
    places = _places(rows, edges, {box.name: box for box in boxes})
    width = max(place.x + place.width / 2 for place in places.values()) + MARGIN
    height = max(place.bottom for place in places.values()) + MARGIN
    parts = [_line(box, chain, places) for box in boxes for chain in edges[box.name]]
    parts += [_box(box, places[box.name]) for box in boxes]
    label = "".join(letter if letter.isalnum() else "-" for letter in title.lower())
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ff-d" role="img" '
        f'aria-labelledby="{label}-t {label}-d" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">',
        f'<title id="{label}-t">{escape(title)}</title>',
        f'<desc id="{label}-d">{escape(description)}</desc>',
        f"<style>{STYLE}</style>", *parts, "</svg>", "",
    ])  # fmt: skip


def _check(boxes: Sequence[Box]) -> None:
    if not boxes:
        raise ValueError("expected boxes to draw, got none")
    before: set[str] = set()
    for box in boxes:
        if box.name in before:
            raise ValueError(f"expected every box once, got {box.name!r} twice")
        if unknown := [name for name in box.inputs if name not in before]:
            raise ValueError(f"expected the inputs of {box.name!r} before it, got {unknown}")
        before.add(box.name)


class _Place(NamedTuple):
    """Of a box, or of a line that passes a row."""

    x: float
    """Of its middle."""
    top: float
    bottom: float
    width: float


def _width(box: Box) -> float:
    first, *others = box.lines
    return max(len(first) * BOLD, *(len(line) * LETTER for line in others), 0) + 2 * PADDING


def _places(
    rows: Sequence[list[str]], edges: Mapping[str, list[list[str]]], boxes: Mapping[str, Box]
) -> dict[str, _Place]:
    widths = {name: _width(boxes[name]) if name in boxes else LANE for row in rows for name in row}
    centres = _centres(rows, edges, widths)
    left = min(centres[name] - widths[name] / 2 for name in centres) - MARGIN
    places, top = {}, float(MARGIN)
    for row in rows:
        lines = {name: len(boxes[name].lines) for name in row if name in boxes}
        tallest = top + LINE * max(lines.values()) + 2 * PADDING - 4
        for name in row:
            own = top + LINE * lines[name] + 2 * PADDING - 4 if name in boxes else tallest
            places[name] = _Place(centres[name] - left, top, own, widths[name])
        top = tallest + BETWEEN
    return places


def _rows(boxes: Sequence[Box]) -> tuple[list[list[str]], dict[str, list[list[str]]]]:
    """The names of each row, those of passing lines among them; box -> its incoming lines."""
    depth: dict[str, int] = {}
    for box in boxes:
        depth[box.name] = 1 + max((depth[name] for name in box.inputs), default=-1)
    for box in reversed(boxes):  # what reads nothing stands right above what reads it
        readers = [depth[other.name] for other in boxes if box.name in other.inputs]
        if not box.inputs and readers:
            depth[box.name] = min(readers) - 1
    rows: list[list[str]] = [[] for _ in range(1 + max(depth.values()))]
    for box in boxes:
        rows[depth[box.name]].append(box.name)
    edges: dict[str, list[list[str]]] = {box.name: [] for box in boxes}
    passing: dict[tuple[str, int], str] = {}  # lines from one box share their way
    for box in boxes:
        for source in box.inputs:
            chain = [source]
            for level in range(depth[source] + 1, depth[box.name]):
                lane = passing.setdefault((source, level), f"{source} passing {level}")
                if lane not in rows[level]:
                    rows[level].append(lane)
                chain.append(lane)
            edges[box.name].append([*chain, box.name])
    return rows, edges


def _centres(
    rows: Sequence[list[str]],
    edges: Mapping[str, list[list[str]]],
    widths: Mapping[str, float],
) -> dict[str, float]:
    """Where the middle of each place of a row lies; orders the rows."""
    above: dict[str, list[str]] = {name: [] for row in rows for name in row}
    below: dict[str, list[str]] = {name: [] for row in rows for name in row}
    for chains in edges.values():
        for chain in chains:
            for upper, lower in pairwise(chain):
                above[lower].append(upper)
                below[upper].append(lower)
    centres: dict[str, float] = {}
    for row in rows:
        _place(row, {name: float(index) for index, name in enumerate(row)}, widths, centres)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else list(reversed(rows)):
            wanted = {}
            for name in row:
                near = above[name] if down else below[name]
                if sweep >= SWEEPS // 2:  # at last, by both sides
                    near = above[name] + below[name]
                wanted[name] = _mean([centres[other] for other in near], centres[name])
            row.sort(key=wanted.__getitem__)
            _place(row, wanted, widths, centres)
    return centres


def _place(
    row: Sequence[str],
    wanted: Mapping[str, float],
    widths: Mapping[str, float],
    centres: dict[str, float],
) -> None:
    """Give a row the places nearest to the wanted ones that keep its order and distances.

    Neighbours that want to be nearer than they may form a block, placed at the mean of their wishes
    (isotonic regression by pooling adjacent violators).
    """
    offsets, offset = [], 0.0
    for index, name in enumerate(row):
        if index:
            before = row[index - 1]
            offset += (widths[before] + widths[name]) / 2 + GAP
        offsets.append(offset)
    blocks: list[list[float]] = []  # sum of wishes, members
    for name, shift in zip(row, offsets, strict=True):
        blocks.append([wanted[name] - shift, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, members = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += members
    starts = [total / members for total, members in blocks for _ in range(int(members))]
    for name, shift, start in zip(row, offsets, starts, strict=True):
        centres[name] = start + shift


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _line(box: Box, chain: Sequence[str], places: Mapping[str, _Place]) -> str:
    """A line from one box to another, with its arrowhead; inputs enter side by side, in order."""
    start, end = places[chain[0]], places[box.name]
    shift = 0.0
    if len(box.inputs) > 1:
        room = min(end.width - 2 * PADDING, 14.0 * (len(box.inputs) - 1))
        shift = room * (box.inputs.index(chain[0]) / (len(box.inputs) - 1) - 0.5)
    x, y = end.x + shift, end.top
    points = [(start.x, start.bottom)]
    for lane in chain[1:-1]:
        points += [(places[lane].x, places[lane].top), (places[lane].x, places[lane].bottom)]
    points.append((x, y - 5))
    path = f"M{points[0][0]:.0f} {points[0][1]:.0f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        half = (y0 + y1) / 2
        path += f"C{x0:.0f} {half:.0f} {x1:.0f} {half:.0f} {x1:.0f} {y1:.0f}"
    return f'<path d="{path}"/><path class="tip" d="M{x:.0f} {y:.0f}l-4 -7h8z"/>'


def _box(box: Box, place: _Place) -> str:
    left, height = place.x - place.width / 2, place.bottom - place.top
    radius = 3 if box.kind == "module" else 10
    texts = "".join(
        f'<text class="{"other" if index else "name"}" x="{place.x:.0f}" '
        f'y="{place.top + PADDING + 9 + LINE * index:.0f}">{escape(line)}</text>'
        for index, line in enumerate(box.lines)
    )
    return (
        f'<g class="{box.kind}"><rect x="{left:.0f}" y="{place.top:.0f}" '
        f'width="{place.width:.0f}" height="{height:.0f}" rx="{radius}"/>{texts}</g>'
    )


def in_words(boxes: Iterable[Box]) -> str:
    """The boxes in words, for a description."""
    return ", ".join(dict.fromkeys(box.lines[0] for box in boxes))
