"""Precision-recall curves for TensorBoard, in the form that its plugin reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from src.evaluation import WiderResult

if TYPE_CHECKING:  # its import takes a second, and most runs of other commands write none
    from torch.utils.tensorboard import SummaryWriter

NUM_THRESHOLDS = 127
"""Points of a curve: more than the writer takes are cut off (PyTorch, ``add_pr_curve_raw``)."""


def add_pr_curves(writer: SummaryWriter, result: WiderResult, step: int) -> None:
    """Write the curve of every level and every face size that has faces, as ``pr_curves/NAME``.

    TensorBoard shows counts beside each point; those that are no faces and are not found have
    none in detection, and stand as 0.

    Args:
        writer: of the run.
        result: of an evaluation.
        step: optimizer steps done.
    """
    for name, (precisions, recalls) in result.curves.items():
        faces = result.num_faces[name]
        if not faces:
            continue
        # Ours go down from the highest threshold; those of TensorBoard up from 0, evenly to 1.
        places = np.linspace(len(recalls) - 1, 0, NUM_THRESHOLDS).round().astype(int)
        precision, recall = precisions[places], recalls[places]
        # Where nothing is found, precision is a made-up 0: without counts the point is not drawn.
        found = precision > 0
        hits = np.where(found, recall * faces, 0).round()
        false = np.where(found, hits / np.where(found, precision, 1) - hits, 0).round()
        writer.add_pr_curve_raw(
            f"pr_curves/{name}", hits, false, np.zeros_like(hits), faces - hits, precision, recall,
            step, NUM_THRESHOLDS,
        )  # fmt: skip
