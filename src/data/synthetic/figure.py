"""Drawn patches with the face that is on them, and how they are put over an image."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np


class Light(NamedTuple):
    """Light of a scene."""

    x: float
    """Direction to the light, right positive, -1 to 1."""
    y: float
    """Direction to the light, down positive, -1 to 1."""
    contrast: float
    """Difference between the lit and the dark side, 0 (flat) to about 0.9."""


class Figure(NamedTuple):
    """A drawn patch, its place in the image, and the face that is on it."""

    patch: np.ndarray
    """[h, w, 4] uint8, BGRA, colours already multiplied by alpha."""
    corner: tuple[int, int]
    """x, y of the patch's first pixel in the image."""
    region: np.ndarray
    """[M, 2] float64, outline of the face (forehead to chin, ear to ear), image pixels; M = 0
    when the figure shows no face."""
    landmarks: np.ndarray
    """[5, 2] float64, image pixels."""
    covered: float
    """Share of the face behind glasses, mask or hand, 0 to 1."""
    yaw: float
    """Degrees, positive towards the right of the image."""


def paste(image: np.ndarray, owner: np.ndarray, figure: Figure, number: int) -> int:
    """Put a figure over an image.

    Args:
        image: [H, W, 3] uint8, BGR; changed.
        owner: [H, W] int32, which face a pixel shows, 0 for none; changed.
        figure: what is put there.
        number: of its face in ``owner``, from 1; any when it shows no face.

    Returns:
        How many pixels of its face are seen.
    """
    height, width = owner.shape
    x, y = figure.corner
    x1, y1 = max(x, 0), max(y, 0)
    x2, y2 = min(x + figure.patch.shape[1], width), min(y + figure.patch.shape[0], height)
    if x2 <= x1 or y2 <= y1:
        return 0
    patch = figure.patch[y1 - y : y2 - y, x1 - x : x2 - x]
    alpha = patch[..., 3]
    under = cv2.merge([255 - alpha] * 3)
    part = image[y1:y2, x1:x2]
    part[...] = cv2.add(patch[..., :3], cv2.multiply(part, under, scale=1 / 255))
    solid = alpha > 127
    owner[y1:y2, x1:x2][solid] = 0
    if not len(figure.region):
        return 0
    face = np.zeros(solid.shape, np.uint8)
    cv2.fillPoly(face, [np.rint((figure.region - (x1, y1)) * 16 - 8).astype(np.int32)], 1, shift=4)
    shown = (face > 0) & solid
    owner[y1:y2, x1:x2][shown] = number
    return int(shown.sum())


def share_inside(region: np.ndarray, width: int, height: int) -> float:
    """Share of the box around ``region`` [M, 2] that lies inside the image."""
    low, high = region.min(0), region.max(0)
    cut = np.clip(high, 0, (width, height)) - np.clip(low, 0, (width, height))
    return float(np.prod(cut) / np.prod(high - low))
