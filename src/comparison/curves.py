"""A picture of how networks were trained: the loss on the labels and the AP of each validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from src.report.charts import COLORS, SIZE_LABELS, new_chart, plain, save_chart
from src.runs.read import metric_rows

_WINDOWS = 40
"""Means that a loss is drawn as: single batches differ more than a training changes."""


def draw_training(runs: Mapping[str, Path], path: Path) -> None:
    """Draw the loss on the labels and the validation AP of runs over their optimizer steps.

    Args:
        runs: name of each network -> folder of its run.
        path: the picture to write; its suffix decides the format. Folders are created.
    """
    figure = new_chart(11, 4.2)
    losses, precisions = figure.subplots(1, 2)
    draw_losses(losses, runs)
    draw_precisions(precisions, runs)
    losses.legend(frameon=False)
    save_chart(figure, path)


def draw_losses(axes: Axes, runs: Mapping[str, Path]) -> None:
    """Draw the loss on the labels while runs were trained.

    With a teacher the loss that is minimised has other terms too; the part that the labels give
    (``train/task``) is that of a run without one, so the curves can be compared.
    """
    for place, (name, folder) in enumerate(runs.items()):
        rows = metric_rows(folder / "metrics.csv")
        loss = [(step + 1, row.get("train/task", row["train/loss"]))
                for step, row in rows if "train/loss" in row]  # fmt: skip
        axes.plot(*_means(loss), color=COLORS[place % len(COLORS)], label=plain(name))
    _finish(axes, "loss on the labels, training")


def draw_precisions(axes: Axes, runs: Mapping[str, Path]) -> None:
    """Draw the AP, mean of the levels, of each validation of runs."""
    for place, (name, folder) in enumerate(runs.items()):
        rows = metric_rows(folder / "metrics.csv")
        ap = [(step + 1, 100 * row["val/ap"]) for step, row in rows if "val/ap" in row]
        points = np.array(ap).reshape(-1, 2).T
        axes.plot(*points, color=COLORS[place % len(COLORS)], marker="o", label=plain(name))
    _finish(axes, "AP mean, %, validation")


def draw_metrics(axes: Axes, run: Path, metrics: Sequence[str], title: str) -> None:
    """Draw metrics of one run over its optimizer steps.

    Args:
        axes: to draw on.
        run: its folder.
        metrics: their names in ``metrics.csv``; those that it lacks are left out.
        title: of the axes.
    """
    rows = list(metric_rows(run / "metrics.csv"))
    for place, name in enumerate(metrics):
        points = [(step + 1, row[name]) for step, row in rows if name in row]
        if points:
            color = COLORS[place % len(COLORS)]
            axes.plot(*_means(points), color=color, label=plain(name.partition("/")[2]))
    _finish(axes, title)


def draw_sizes(axes: Axes, networks: Sequence[Mapping[str, Any]]) -> None:
    """Draw the AP of networks by face size.

    Args:
        axes: to draw on.
        networks: rows of what ``src.measure`` writes, with ``name`` and ``metrics``.
    """
    for place, row in enumerate(networks):
        values = [row["metrics"].get(f"ap_{size}") for size in SIZE_LABELS]
        ap = [math.nan if value is None else 100 * value for value in values]
        color = COLORS[place % len(COLORS)]
        axes.plot(list(SIZE_LABELS.values()), ap, color=color, marker="o", label=plain(row["name"]))
    _finish(axes, "AP by face size, %", below="sqrt(width x height)")
    axes.set_ylim(0, 102)


def _finish(axes: Axes, title: str, *, below: str = "optimizer steps") -> None:
    axes.set(title=title, xlabel=below)
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)


def _means(points: list[tuple[int, float]]) -> NDArray[np.float64]:
    """Steps and values [2, M], averaged over windows of neighbours; M is at most ``_WINDOWS``."""
    windows = np.array_split(np.array(points).reshape(-1, 2), min(_WINDOWS, max(len(points), 1)))
    return np.array([window.mean(axis=0) for window in windows if len(window)]).reshape(-1, 2).T
