"""What a detector gets wrong in one image: boxes without a face, and faces without a box."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from src.evaluation.ground_truth import ImageTruth
from src.evaluation.wider_ap import MIN_IOU, SIZE_BOUNDS


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
    """Compare the detections of an image with its labels, at an overlap of 0.5 as the AP does.

    Args:
        boxes: [K, 4] (x1, y1, x2, y2), pixels of the original image.
        scores: [K], 0 to 1.
        truth: the labelled faces.
        confident: score from which a box without a face is a mistake.
        found: score that a box on a face needs at least.
    """
    faces = np.concatenate(
        [truth.boxes_xywh[:, :2], truth.boxes_xywh[:, :2] + truth.boxes_xywh[:, 2:]], axis=1
    )
    overlaps = _iou(np.asarray(boxes, np.float64), faces)
    on_a_face = (overlaps >= MIN_IOU).any(axis=1)
    false = (scores >= confident) & ~on_a_face
    seen = (overlaps[scores >= found] >= MIN_IOU).any(axis=0)
    missed = truth.hard & ~seen
    sides = np.sqrt(truth.boxes_xywh[:, 2] * truth.boxes_xywh[:, 3])
    return Mistakes(
        boxes[false], scores[false], faces[missed], np.digitize(sides[missed], SIZE_BOUNDS)
    )


def _iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[K, 4], [M, 4] -> [K, M]."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (one, other)]
    return both / np.maximum(areas[0][:, None] + areas[1] - both, 1e-12)
