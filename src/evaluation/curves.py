"""Pictures of one evaluation: precision over recall, and both over the threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from src.evaluation.calibration import Judged, operate
from src.evaluation.ground_truth import LEVELS
from src.evaluation.wider_ap import SIZES, WiderResult
from src.report.charts import COLORS, SIZE_LABELS, new_chart, plain, save_chart

_LABELS = {"easy": "Easy", "medium": "Medium", "hard": "Hard", **SIZE_LABELS}
_SHOWN = np.linspace(0, 1, 101)[1:-1]
"""Thresholds at which a detector is drawn."""


def draw_pr_curves(result: WiderResult, path: Path) -> None:
    """Draw precision over recall: the official settings on the left, face sizes on the right.

    Args:
        result: from ``wider_ap`` or ``WiderAP``.
        path: the picture to write; its suffix decides the format. Folders are created.
    """
    figure = new_chart(11, 5.2)
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_panel(left, result, LEVELS, f"WIDER FACE settings, {result.num_images} images")
    _draw_panel(right, result, SIZES, "Hard faces by size, sqrt(width x height)")
    left.set_ylabel("precision")
    save_chart(figure, path, dpi=150)


def _draw_panel(axes: Axes, result: WiderResult, settings: tuple[str, ...], title: str) -> None:
    for setting in settings:
        precision, recall = result.curves[setting]
        score = result.metrics[f"ap_{setting}"]
        shown = "no faces" if math.isnan(score) else f"AP {100 * score:.2f}"
        # Thresholds without a proposal have a made-up precision of 0; they are no point to draw.
        drawn = precision > 0
        axes.plot(recall[drawn], precision[drawn], label=f"{_LABELS[setting]} ({shown})")
    axes.set(title=title, xlabel="recall", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(color="0.9")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)


def draw_detectors(axes: Axes, results: Mapping[str, WiderResult], setting: str) -> None:
    """Draw precision over recall of detectors in one setting, such as ``hard``.

    Args:
        axes: to draw on.
        results: name -> result on the same images.
        setting: of ``SETTINGS``.
    """
    for place, (name, result) in enumerate(results.items()):
        precision, recall = result.curves[setting]
        drawn = precision > 0
        color = COLORS[place % len(COLORS)]
        axes.plot(recall[drawn], precision[drawn], color=color, label=plain(name))
    title = f"Precision over recall, {_LABELS[setting].lower()}"
    axes.set(title=title, xlabel="recall", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(color="0.9")


def draw_operation(detectors: Mapping[str, Judged], path: Path) -> None:
    """Draw precision and recall over the threshold from which boxes are kept.

    Args:
        detectors: name -> its boxes.
        path: the picture to write; its suffix decides the format. Folders are created.
    """
    figure = new_chart(11, 5.2)
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), ("precision", "recall"), strict=True):
        for name, judged in detectors.items():
            values = [getattr(operate(judged, at), kind) for at in _SHOWN]
            axes.plot(_SHOWN, values, label=name)
        axes.set(title=kind, xlabel="lowest score kept", xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(color="0.9")
    axes.legend(loc="upper right", frameon=False)
    save_chart(figure, path, dpi=150)
