"""Diagrams: every box inside the drawing, none on another, lines from above to below."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest

from src.report.diagram import Box, draw

SVG = "{http://www.w3.org/2000/svg}"


def box(name: str, *inputs: str) -> Box:
    return Box(name, (f"{name} & co", "64×80×80"), "module", inputs)


DIAMOND = [box("a"), box("b", "a"), box("c", "a"), box("d", "b", "c", "a"), box("e", "d", "a")]


def drawn(boxes: list[Box]) -> ET.Element:
    return ET.fromstring(draw(boxes, "A title", "What it <shows>"))


def rectangles(svg: ET.Element) -> list[tuple[float, float, float, float]]:
    return [
        (float(r.get("x", "")), float(r.get("y", "")),
         float(r.get("x", "")) + float(r.get("width", "")),
         float(r.get("y", "")) + float(r.get("height", "")))
        for r in svg.iter(f"{SVG}rect")
    ]  # fmt: skip


def test_boxes_lie_inside_and_apart():
    svg = drawn(DIAMOND)
    found = rectangles(svg)
    assert len(found) == 5
    wide, high = float(svg.get("width", "")), float(svg.get("height", ""))
    for left, top, right, bottom in found:
        assert 0 <= left < right <= wide
        assert 0 <= top < bottom <= high
    for one, other in combinations(found, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_lines_go_down_and_end_at_their_boxes():
    svg = drawn(DIAMOND)
    lines = [p for p in svg.iter(f"{SVG}path") if p.get("class") is None]
    assert len(lines) == sum(len(each.inputs) for each in DIAMOND)
    tops = {top for _, top, _, _ in rectangles(svg)}
    for line in lines:
        ys = [float(y) for y in re.findall(r"[ML C]-?[\d.]+ (-?[\d.]+)", line.get("d", ""))]
        assert ys == sorted(ys)
        assert ys[-1] + 5 in tops


def test_what_screen_readers_say():
    svg = drawn(DIAMOND)
    title, about = svg.find(f"{SVG}title"), svg.find(f"{SVG}desc")
    assert title is not None
    assert about is not None
    assert (title.text, about.text) == ("A title", "What it <shows>")
    assert svg.get("aria-labelledby") == f"{title.get('id')} {about.get('id')}"


def test_text_has_12_pixels_and_no_scale():
    svg = drawn(DIAMOND)
    assert svg.get("viewBox") == f"0 0 {svg.get('width')} {svg.get('height')}"
    style = svg.find(f"{SVG}style")
    assert style is not None
    assert re.findall(r"font:(\d+)px", style.text or "") == ["12"]
    assert "prefers-color-scheme:dark" in (style.text or "")


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        ([], "boxes to draw, got none"),
        ([box("a"), box("a")], "every box once, got 'a' twice"),
        ([box("a", "b"), box("b")], r"inputs of 'a' before it, got \['b'\]"),
    ],
)
def test_what_is_no_diagram(boxes, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw(boxes, "t", "d")
