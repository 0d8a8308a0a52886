"""What a detector gets wrong in one image: boxes without a face, and faces without a box."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from src.evaluation.ground_truth import ImageTruth
from src.evaluation.wider_ap import MIN_IOU, SIZE_BOUNDS, best_faces


class Mistakes(NamedTuple):
    """Boxes as (x1, y1, x2, y2), pixels of the original image."""

    false: np.ndarray
    """[K, 4]: found with confidence where no face is labelled, counted or not."""
    false_scores: np.ndarray
    """[K], of them."""
    missed: np.ndarray
    """[M, 4]: faces that the hard setting counts, with no box on them."""
    missed_size: np.ndarray
    """[M] int: place of sqrt(width * height) among ``SIZE_BOUNDS``, 0 to 3."""


def find_mistakes(
    boxes: np.ndarray,
    scores: np.ndarray,
    truth: ImageTruth,
    *,
    confident: float = 0.5,
    found: float = 0.3,
) -> Mistakes:
    """Compare the detections of an image with its labels, matched as the AP matches them.

    Args:
        boxes: [K, 4] (x1, y1, x2, y2), pixels of the original image.
        scores: [K], 0 to 1.
        truth: the labelled faces.
        confident: score from which a box without a face is a mistake.
        found: score that a box on a face needs at least.
    """
    corners = truth.boxes_xywh[:, :2], truth.boxes_xywh[:, :2] + truth.boxes_xywh[:, 2:]
    faces = np.concatenate(corners, axis=1)
    face = faces_of(
        np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1, dtype=float), truth
    )
    seen = np.zeros(len(faces), bool)
    seen[face[(face >= 0) & (scores >= found)]] = True
    false, missed = (scores >= confident) & (face < 0), truth.hard & ~seen
    sides = np.sqrt(truth.boxes_xywh[:, 2] * truth.boxes_xywh[:, 3])
    return Mistakes(
        boxes[false], scores[false], faces[missed], np.digitize(sides[missed], SIZE_BOUNDS)
    )


def faces_of(boxes_xywh: np.ndarray, truth: ImageTruth) -> np.ndarray:
    """Number of the labelled face that each box is on, counted or not, as the AP matches them.

    Args:
        boxes_xywh: [K, 4 or more] (x, y, w, h, ...), pixels of the original image.
        truth: the labelled faces.

    Returns:
        [K] int; -1 for a box without a face.
    """
    if not len(boxes_xywh) or not len(truth.boxes_xywh):
        return np.full(len(boxes_xywh), -1)
    face, overlap = best_faces(boxes_xywh, truth.boxes_xywh)
    return np.where(overlap >= MIN_IOU, face, -1)
