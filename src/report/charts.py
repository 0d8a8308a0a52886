"""What all charts share: their colours, and how one is begun and written."""

from __future__ import annotations

from pathlib import Path

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


def new_chart(width: float, height: float) -> Figure:
    """An empty chart of that many inches.

    Not of pyplot: no global state and no window system, so it is safe within a training.
    """
    return Figure(figsize=(width, height), layout="constrained")


def save_chart(chart: Figure, path: Path, *, dpi: int = 120) -> None:
    """Write a chart; the suffix of ``path`` decides the format. Folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.savefig(path, dpi=dpi)


def plain(text: str) -> str:
    """Text of a user that is not taken for mathematics."""
    return text.replace("$", r"\$")
