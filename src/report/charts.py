"""What all charts share: their colours, and how one is begun and written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito, Color Universal Design (2008), without the yellow, which is faint on white."""

SIZE_LABELS = {
    "size_0_16": "under 16 px",
    "size_16_32": "16 to 32 px",
    "size_32_96": "32 to 96 px",
    "size_96_inf": "from 96 px",
}
"""Sizes of faces that have an AP of their own, and what they are called."""


_BESIDE = ((14, 3), (27, 2))
"""Letters of the longest name, and how many stand side by side below a chart for a column."""

_LINE = 0.17
"""Inches that a line of names takes below such a chart."""


def new_chart(width: float, height: float) -> Figure:
    """An empty chart of that many inches.

    Not of pyplot: no global state and no window system, so it is safe within a training.
    """
    return Figure(figsize=(width, height), layout="constrained")


def column_chart(draw: Callable[..., None], *shown: Any) -> Figure:
    """A chart for a column of a page, its legend below, where it covers nothing.

    Args:
        draw: called with its axes and what is ``shown``; it labels the lines.
    """
    figure = new_chart(4.1, 3.6)
    axes = figure.subplots()
    draw(axes, *shown)
    handles, labels = axes.get_legend_handles_labels()
    longest = max(map(len, labels), default=0)
    columns = next((count for letters, count in _BESIDE if longest <= letters), 1)
    figure.set_figheight(figure.get_figheight() + _LINE * (max(0, len(labels) - 1) // columns))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns,
                  frameon=False, fontsize=9)  # fmt: skip
    return figure


def save_chart(chart: Figure, path: Path, *, dpi: int = 120) -> None:
    """Write a chart; the suffix of ``path`` decides the format. Folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.savefig(path, dpi=dpi)


def plain(text: str) -> str:
    """Text of a user that is not taken for mathematics."""
    return text.replace("$", r"\$")
