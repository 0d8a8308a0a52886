"""A page of HTML in one file, put together from the parts in ``templates/``.

Everything that is given as text is escaped; nothing is loaded from elsewhere.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

_TEMPLATES = Environment(
    loader=PackageLoader("src.report"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip


def page(title: str, parts: Iterable[Markup]) -> str:
    """A whole document."""
    return _TEMPLATES.get_template("base.html").render(title=title, parts=parts)


def heading(text: str, *, level: int = 2) -> Markup:
    return _part("heading", text, level)


def paragraph(text: str, *, note: bool = False) -> Markup:
    return _part("paragraph", text, note)


def link(text: str, address: str) -> Markup:
    """A paragraph that leads to another file beside the page."""
    return _part("link", text, address)


def counts(named: Sequence[tuple[str, str]]) -> Markup:
    """A row of numbers, each with what it counts."""
    return _part("counts", named)


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    marks: Sequence[str] = (),
    words: bool = False,
) -> Markup:
    """A table of texts that scrolls sideways; its first column stays in sight.

    Args:
        head: of the columns.
        rows: as many cells each.
        marks: of the rows, ``marked``, ``faint`` or nothing; empty: nothing for all.
        words: the last column is prose, not numbers.
    """
    return _part("table", head, rows, marks or [""] * len(rows), words)


def image(content: bytes, about: str, *, pixels: bool = False, wide: bool = False) -> Markup:
    """A file of a picture, SVG or PNG, within the page; one with small text scrolls sideways."""
    kind = "image/png" if pixels else "image/svg+xml"
    return _part("image", about, kind, base64.b64encode(content).decode("ascii"), wide)


def charts(drawings: Sequence[tuple[Figure, str]]) -> Markup:
    """Charts with what they show, side by side where there is room: 4 inches wide each, so that
    their text is readable on a telephone."""
    shown = [(about, base64.b64encode(render(each)).decode("ascii")) for each, about in drawings]
    return _part("charts", shown)


def photos(shown: Sequence[tuple[bytes, str]]) -> Markup:
    """Files of photographs, JPEG, side by side where there is room, each with its line below.

    One that is clicked, or reached by the tabulator, fills the window."""
    encoded = [(about, base64.b64encode(content).decode("ascii")) for content, about in shown]
    return _part("photos", encoded)


def render(drawing: Figure) -> bytes:
    """A figure as a file of SVG; the same figure is the same file."""
    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "figure"}):
        drawing.savefig(stream, format="svg", dpi=150, metadata={"Date": None})
    return stream.getvalue()


def _part(name: str, *arguments: Any) -> Markup:
    macro: Any = getattr(_TEMPLATES.get_template("parts.html").module, name)
    return Markup(str(macro(*arguments)).strip())
