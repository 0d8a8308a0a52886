"""A picture of how networks were trained: the loss on the labels and the AP of each validation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.report.charts import COLORS, new_chart, save_chart
from src.runs.read import metric_rows

_WINDOWS = 40
"""Means that a loss is drawn as: single batches differ more than a training changes."""


def draw_training(runs: Mapping[str, Path], path: Path) -> None:
    """Draw the loss on the labels and the validation AP of runs over their optimizer steps.

    With a teacher the loss that is minimised has other terms too; the part that the labels give
    (``train/task``) is that of a run without one, so the curves can be compared.

    Args:
        runs: name of each network -> folder of its run.
        path: the picture to write; its suffix decides the format. Folders are created.
    """
    figure = new_chart(11, 4.2)
    losses, precisions = figure.subplots(1, 2)
    for place, (name, folder) in enumerate(runs.items()):
        color = COLORS[place % len(COLORS)]
        rows = list(metric_rows(folder / "metrics.csv"))
        loss = [(step + 1, row.get("train/task", row["train/loss"]))
                for step, row in rows if "train/loss" in row]  # fmt: skip
        ap = [(step + 1, 100 * row["val/ap"]) for step, row in rows if "val/ap" in row]
        losses.plot(*_means(loss), color=color, label=name)
        precisions.plot(*np.array(ap).reshape(-1, 2).T, color=color, marker="o", label=name)
    losses.set(title="loss on the labels, training")
    precisions.set(title="AP mean, %, validation")
    for axes in (losses, precisions):
        axes.set(xlabel="optimizer steps")
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    losses.legend(frameon=False)
    save_chart(figure, path)


def _means(points: list[tuple[int, float]]) -> NDArray[np.float64]:
    """Steps and values [2, M], averaged over windows of neighbours; M is at most ``_WINDOWS``."""
    windows = np.array_split(np.array(points).reshape(-1, 2), min(_WINDOWS, max(len(points), 1)))
    return np.array([window.mean(axis=0) for window in windows if len(window)]).reshape(-1, 2).T
