"""A picture as each of several detectors sees it, beside its labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from src.evaluation.differences import Judgement
from src.evaluation.ground_truth import ImageTruth
from src.images.drawing import GREEN, GREY, MAGENTA, ORANGE, draw_faces
from src.images.files import read_image
from src.images.resize import fit_long_side

LONG_SIDE = 800
"""Pixels; small faces are still seen when it is enlarged."""
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 80]

LEGEND = (
    "Labels are orange; grey ones do not count. Of each network green boxes are on a labelled "
    "face, magenta ones are on none, and orange ones are labelled faces that it misses."
)


def draw_photographs(file: Path, truth: ImageTruth, judgements: Sequence[Judgement]) -> list[bytes]:
    """The labels on an image, then what each detector makes of it.

    Args:
        file: of the image.
        truth: its labels.
        judgements: of the detectors.

    Returns:
        Files of JPEG, one more than there are detectors.
    """
    image, scale = fit_long_side(read_image(file), LONG_SIDE)
    labels = _corners(truth.boxes_xywh, scale)
    labelled = draw_faces(image, labels[~truth.hard], colour=GREY)
    drawn = [draw_faces(labelled, labels[truth.hard], colour=ORANGE)]
    for judged in judgements:
        boxes, false = _corners(judged.rows, scale), judged.is_false
        missed = truth.hard & ~judged.is_found
        panel = draw_faces(image, labels[missed], colour=ORANGE)
        panel = draw_faces(panel, boxes[~false], colour=GREEN)
        # Without scores, whose plates would cover small faces.
        drawn.append(draw_faces(panel, boxes[false], colour=MAGENTA))
    return [cv2.imencode(".jpg", each, _QUALITY)[1].tobytes() for each in drawn]


def _corners(boxes_xywh: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """[K, 4] (x1, y1, x2, y2) in pixels of the scaled image."""
    corner, size = boxes_xywh[:, :2], boxes_xywh[:, 2:4]
    return np.concatenate([corner, corner + size], axis=1) * np.tile(scale, 2)
