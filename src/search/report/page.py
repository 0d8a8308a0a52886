"""A page of HTML in one file: its style, and the parts that a report is put together from.

Everything that is given as text is escaped; nothing is loaded from elsewhere.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence

import matplotlib
from matplotlib.figure import Figure

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 2.5rem auto;
  max-width: 66rem; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-bottom: .25rem;
  border-bottom: 1px solid #ddd; }
p { margin: .5rem 0; max-width: 50rem; }
.note { color: #666; font-size: .9rem; }
.counts { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1.2rem 0; padding: 0; }
.counts li { list-style: none; border: 1px solid #ddd; border-radius: .5rem; padding: .4rem 1rem; }
.counts b { display: block; font-size: 1.5rem; line-height: 1.3; color: #0072b2; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; }
th, td { padding: .26rem .55rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #eee; }
th { border-bottom: 2px solid #ccc; font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
.words th:last-child, .words td:last-child { text-align: left; white-space: normal;
  min-width: 16rem; }
tr.marked td { background: #fdf0e6; font-weight: 600; }
tr.faint td { color: #888; }
figure { margin: .8rem 0; }
figure img { max-width: 100%; height: auto; display: block; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def heading(text: str, *, level: int = 2) -> str:
    return f"<h{level}>{html.escape(text)}</h{level}>"


def paragraph(text: str, *, note: bool = False) -> str:
    opening = '<p class="note">' if note else "<p>"
    return f"{opening}{html.escape(text)}</p>"


def counts(named: Sequence[tuple[str, str]]) -> str:
    """A row of numbers, each with what it counts."""
    items = (f"<li><b>{html.escape(n)}</b>{html.escape(name)}</li>" for name, n in named)
    return f'<ul class="counts">{"".join(items)}</ul>'


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    marks: Sequence[str] = (),
    words: bool = False,
) -> str:
    """A table of texts.

    Args:
        head: of the columns.
        rows: as many cells each.
        marks: of the rows, ``marked``, ``faint`` or nothing; empty: nothing for all.
        words: the last column is prose, not numbers.
    """
    marks = marks or [""] * len(rows)
    lines = [_row("th", head, "")]
    lines += [_row("td", cells, mark) for cells, mark in zip(rows, marks, strict=True)]
    opening = '<table class="words">' if words else "<table>"
    return "\n".join(['<div class="scroll">', opening, *lines, "</table>", "</div>"])


def picture(drawing: Figure, about: str, *, pixels: bool = False) -> str:
    """A figure, as lines that stay sharp, or as pixels where these would be too many."""
    return image(render(drawing, "png" if pixels else "svg"), about, pixels=pixels)


def image(content: bytes, about: str, *, pixels: bool = False) -> str:
    """A file of a picture, SVG or PNG, within the page."""
    kind = "image/png" if pixels else "image/svg+xml"
    data = base64.b64encode(content).decode("ascii")
    return f'<figure><img alt="{html.escape(about)}" src="data:{kind};base64,{data}"></figure>'


def render(drawing: Figure, kind: str) -> bytes:
    """A figure as a file of ``svg`` or ``png``; the same figure is the same file."""
    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "figure"}):
        metadata = {"Date": None} if kind == "svg" else None
        drawing.savefig(stream, format=kind, dpi=150, metadata=metadata)
    return stream.getvalue()


def _row(cell: str, texts: Sequence[str], mark: str) -> str:
    opening = f'<tr class="{mark}">' if mark else "<tr>"
    return opening + "".join(f"<{cell}>{html.escape(text)}</{cell}>" for text in texts) + "</tr>"
