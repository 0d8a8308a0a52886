"""A picture of a contest: latency, AP and file size of each detector, side by side.

Narrow, with letters as large as those of a page around it: legible on a phone, 390 pixels wide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from src.contest.entry import Entry
from src.contest.run import Result
from src.report.charts import COLORS, new_chart, plain, save_chart

_WIDTH = 4.0
"""Inches: at 100 pixels each a phone's width, with letters of 11 pixels."""
_DPI = 240
_LETTERS = 8
_NAME_WIDTH = 46


class _Column(NamedTuple):
    title: str
    values: list[float | None]
    """Of every entry; None: not measured."""
    shown: Callable[[float], str]
    color: str


def draw_contest(results: Sequence[Result], path: Path) -> None:
    """Draw bars of the median latency from image to faces at each size, AP and file size.

    Args:
        results: of :func:`src.contest.run.contest`.
        path: the picture to write; its suffix decides the format.
    """
    # Entries hold lists, which cannot be keys.
    entries: list[Entry] = []
    for result in results:
        if not any(result.entry is entry for entry in entries):
            entries.append(result.entry)
    columns = _columns(entries, results)
    figure = new_chart(max(_WIDTH, 1.3 * len(columns)), 0.75 + 0.46 * len(entries))
    panels = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for axes, column in zip(panels, columns, strict=True):
        _draw_column(axes, column)
    for place, entry in enumerate(entries):
        name = f"{entry.name}, {entry.runtime}"
        if len(name) > _NAME_WIDTH:
            name = "…" + name[1 - _NAME_WIDTH :]
        # Above its bars, over all columns.
        note = panels[0].annotate(
            plain(name), (0, place - 0.28), xycoords=panels[0].get_yaxis_transform(),
            va="bottom", fontsize=_LETTERS, annotation_clip=False,
        )  # fmt: skip
        note.set_in_layout(False)
    panels[0].set_ylim(len(entries) - 0.4, -0.75)
    save_chart(figure, path, dpi=_DPI)


def _columns(entries: Sequence[Entry], results: Sequence[Result]) -> list[_Column]:
    columns = [
        _Column(
            f"ms, {size} px",
            [_only(1000 * each.whole.percentiles[0] for each in results
                   if each.entry is entry and each.size == size) for entry in entries],
            lambda value: f"{value:.0f}" if value >= 10 else f"{value:.1f}",
            COLORS[0],
        )
        for size in dict.fromkeys(result.size for result in results)
    ]  # fmt: skip
    scores = [_only(100 * each.ap["ap"] for each in results if each.entry is entry and each.ap)
              for entry in entries]  # fmt: skip
    if any(score is not None for score in scores):
        columns.append(_Column("mean AP, %", scores, lambda value: f"{value:.1f}", COLORS[2]))
    sizes: list[float | None] = [entry.bytes / 1000 for entry in entries]
    return [*columns, _Column("file, KB", sizes, lambda value: f"{value:,.0f}", COLORS[5])]


def _only(values: Iterable[float]) -> float | None:
    """The first; None where there is none."""
    return next(iter(values), None)


def _draw_column(axes: Axes, column: _Column) -> None:
    known = [value for value in column.values if value is not None]
    most = max(known)
    for place, value in enumerate(column.values):
        if value is None:
            axes.text(0, place, "n/a", va="center", fontsize=_LETTERS, color="0.4")
            continue
        axes.barh(place, value, height=0.42, color=column.color)
        axes.annotate(column.shown(value), (value, place), xytext=(2, 0), va="center",
                      textcoords="offset points", fontsize=_LETTERS)  # fmt: skip
    axes.patch.set_visible(False)  # names reach over it
    axes.set_title(column.title, fontsize=_LETTERS + 1, loc="left")
    axes.set_xlim(0, 1.45 * most if np.isfinite(most) and most > 0 else 1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
