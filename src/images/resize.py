"""Images at another size: one method for training, measuring, predicting and pictures."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Stretch an image to a size: area averaging where the longer side shrinks, else bilinear."""
    shrinks = max(width, height) < max(image.shape[:2])
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)


def pad(image: np.ndarray, height: int, width: int, colour: Sequence[float]) -> np.ndarray:
    """Extend an image right and below with one BGR colour; itself where it has that size."""
    below, right = height - image.shape[0], width - image.shape[1]
    if not below and not right:
        return image
    return cv2.copyMakeBorder(
        image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=[float(value) for value in colour]
    )


def fit_long_side(image: np.ndarray, long_side: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Scale an image so that its longer side has a given length.

    Args:
        image: [H, W, C].
        long_side: of the result, pixels, at least 1.

    Returns:
        The scaled image, or the image itself where it has that length, and the pixels of the result
        per pixel of the image along x and y. The two differ a little, since sides are rounded, and
        a lot where a very thin image keeps its last row.
    """
    return fit_inside(image, long_side, long_side)


def fit_inside(
    image: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, tuple[float, float]]:
    """Scale an image so that it is as large as a frame of ``height`` x ``width`` pixels allows.

    As :func:`fit_long_side`, which is this for a square.
    """
    factor = min(height / image.shape[0], width / image.shape[1])
    if factor == 1:
        return image, (1.0, 1.0)
    rows, columns = (max(1, round(side * factor)) for side in image.shape[:2])
    return resize(image, columns, rows), (columns / image.shape[1], rows / image.shape[0])
