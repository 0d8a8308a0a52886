"""A picture of a comparison: AP by level and differences on the left, learning curves right."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from src.comparison.compare import Comparison, Row
from src.comparison.intervals import CONFIDENCE
from src.report.charts import COLORS, new_chart, plain, save_chart
from src.runs.read import Run

_MARKERS = "osD^vPX*<>"
_LINES = ("-", "--", ":", "-.")
_NAME_WIDTH = 30
"""Letters per line of a setting's name."""


def draw_comparison(comparison: Comparison, path: Path) -> None:
    """Draw AP per setting, differences to the base, and learning curves.

    Args:
        comparison: from ``compare_settings``.
        path: the picture to write; its suffix decides the format. Folders are created.
    """
    rows = comparison.rows
    lines = sum(_name(row).count("\n") + 1 for row in rows)
    figure = new_chart(15, max(5.5, 2.2 + 0.42 * lines))
    parts = figure.add_gridspec(1, 2, width_ratios=(1.25, 1))
    left, right = figure.add_subfigure(parts[0]), figure.add_subfigure(parts[1])
    panels = left.subplots(2, 2, sharey=True)
    for axes, level in zip(panels.flat, ("easy", "medium", "hard"), strict=False):
        _draw_level(axes, comparison, level)
    _draw_differences(panels[1, 1], comparison)
    # The panels share this axis: the first setting is on top of each.
    panels[0, 0].set_yticks(range(len(rows)), [_name(row) for row in rows])
    panels[0, 0].set_ylim(len(rows) - 0.4, -0.6)
    _draw_learning(right, rows)
    if any(row.ap["mean"].num > 1 for row in rows):
        left.supxlabel(
            "small points: seeds; bars and bands: ± standard deviation; of differences: "
            f"{100 * CONFIDENCE:.0f} % interval",
            fontsize=9,
        )
    save_chart(figure, path)


def _draw_level(axes: Axes, comparison: Comparison, level: str) -> None:
    for place, row in enumerate(comparison.rows):
        color, marker, _ = _style(place)
        mean, deviation, num = row.ap[level]
        if num > 1:
            points = [100 * run.ap[level] for run in row.setting.runs]
            axes.scatter(points, [place - 0.22] * num, s=16, color=color, alpha=0.5, linewidths=0)
        bar = None if math.isnan(deviation) else 100 * deviation
        axes.errorbar(100 * mean, place, xerr=bar, color=color, marker=marker, capsize=3)
        if row.setting is comparison.base:
            axes.axvline(100 * mean, color="0.6", linestyle=":", linewidth=1, zorder=0)
    axes.set(title=f"AP {level}, %")
    _finish(axes)


def _draw_differences(axes: Axes, comparison: Comparison) -> None:
    axes.axvline(0, color="0.6", linestyle=":", linewidth=1, zorder=0)
    for place, row in enumerate(comparison.rows):
        color, marker, _ = _style(place)
        if row.difference:
            mean, half_width, _ = row.difference["mean"]
            bar = None if math.isnan(half_width) else 100 * half_width
            axes.errorbar(100 * mean, place, xerr=bar, color=color, marker=marker, capsize=3)
        else:
            axes.annotate("base", (0, place), textcoords="offset points", xytext=(4, -3))
    axes.set(title="AP mean, difference to base")
    _finish(axes)


def _draw_learning(part: SubFigure, rows: Sequence[Row]) -> None:
    ends = [run.curve[-1][0] for row in rows for run in row.setting.runs if len(run.curve) >= 8]
    panels = part.subplots(2 if ends else 1, squeeze=False)[:, 0]
    _draw_curves(panels[0], rows)
    panels[0].set(title="AP mean during training, %")
    if ends:  # where the settings come close to each other, on a scale of its own
        _draw_curves(panels[1], rows, since=max(ends) // 2)
        panels[1].set(title="its second half")
    panels[-1].set(xlabel="optimizer steps")
    handles, labels = panels[0].get_legend_handles_labels()
    # Below the panels, where long names cover no curve.
    part.legend(
        handles, labels, loc="outside lower center", frameon=False, fontsize=9,
        ncols=2 if len(rows) > 3 else 1,
    )  # fmt: skip


def _draw_curves(axes: Axes, rows: Sequence[Row], *, since: int = 0) -> None:
    for place, row in enumerate(rows):
        color, marker, line = _style(place)
        steps, curves = learning_curves(row.setting.runs)
        steps, curves = steps[steps >= since], 100 * curves[:, steps >= since]
        means = curves.mean(axis=0) if len(steps) else steps
        axes.plot(
            steps, means, color=color, linestyle=line, marker=marker, markersize=5,
            markevery=max(1, len(steps) // 8), label=_name(row),
        )  # fmt: skip
        if len(curves) > 1 and len(steps):
            spread = curves.std(axis=0, ddof=1)
            axes.fill_between(
                steps, means - spread, means + spread, color=color, alpha=0.12, linewidth=0
            )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="0.9")


def learning_curves(runs: Sequence[Run]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Validation AP of each run at the steps that all of them reached.

    Returns:
        Steps [S], and AP [number of runs with a curve, S], a fraction of 1. Where one run was
        validated and another was not, the other's AP is interpolated.
    """
    curves = [np.array(sorted(run.curve), dtype=np.float64) for run in runs if run.curve]
    if not curves:
        return np.empty(0), np.empty((0, 0))
    first = max(curve[0, 0] for curve in curves)
    last = min(curve[-1, 0] for curve in curves)
    steps = np.unique(np.concatenate([curve[:, 0] for curve in curves]))
    steps = steps[(steps >= first) & (steps <= last)]
    return steps, np.array([np.interp(steps, curve[:, 0], curve[:, 1]) for curve in curves])


def _style(place: int) -> tuple[str, str, str]:
    """Colour, marker and line of a setting: one of them differs for each of many."""
    return (
        COLORS[place % len(COLORS)],
        _MARKERS[place % len(_MARKERS)],
        _LINES[place // len(COLORS) % len(_LINES)],
    )


def _name(row: Row) -> str:
    return plain("\n".join(textwrap.wrap(row.setting.name, _NAME_WIDTH)))


def _finish(axes: Axes) -> None:
    axes.margins(x=0.12)
    axes.grid(axis="x", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
