"""The light of a scene, and what the camera does to it: exposure, colour cast, blur and noise."""

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


def take_picture(
    rng: np.random.Generator, image: np.ndarray, light: Light
) -> tuple[np.ndarray, float]:
    """Put a drawn scene through a camera.

    Args:
        rng: decides everything but the light.
        image: [H, W, 3] uint8, BGR.
        light: the light of the scene.

    Returns:
        The picture and the standard deviation of its blur in pixels.
    """
    height, width = image.shape[:2]
    x = np.linspace(-1, 1, 16) * light.x
    y = np.linspace(-1, 1, 16)[:, None] * light.y
    field = 1 + rng.uniform(0, 0.4) * (x + y)
    if rng.random() < 0.2:  # vignette, lamp
        field = field * (
            1.1 - rng.uniform(0.15, 0.5) * ((x * 0 + np.linspace(-1, 1, 16)) ** 2 + y**2)
        )
    exposure, mood = 1.0, rng.random()
    if mood < 0.1:
        exposure = rng.uniform(0.28, 0.55)  # night
    elif mood < 0.17:
        exposure = rng.uniform(1.4, 1.9)  # blown out
    cast = rng.normal(1, 0.05, 3) if rng.random() < 0.8 else rng.normal(1, 0.16, 3)
    gain = np.clip(field[..., None] * exposure * cast, 0.08, 3.9) * 64
    wide = cv2.resize(gain.astype(np.float32), (width, height)).astype(np.uint8)
    image = cv2.multiply(image, wide, scale=1 / 64)
    contrast, gamma = rng.uniform(0.6, 1.2), float(np.exp(rng.normal(0, 0.15)))
    level = (np.arange(256) / 255) ** gamma
    table = np.clip(((level - 0.45) * contrast + 0.45 + rng.normal(0, 0.03)) * 255, 0, 255)
    image = cv2.LUT(image, table.astype(np.uint8))
    softness, choice = 0.0, rng.random()
    if choice < 0.14:
        softness = float(rng.uniform(0.0006, 0.0035) * width)
        image = cv2.GaussianBlur(image, (0, 0), max(softness, 0.3))
    elif choice < 0.2:  # the camera moved
        length = max(int(rng.uniform(0.004, 0.018) * width), 2)
        kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
        way = rng.uniform(0, np.pi)
        reach = np.array([np.cos(way), np.sin(way)]) * length / 2
        ends = np.rint(np.stack([length - reach, length + reach])).astype(np.int32)
        cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), 1.0)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
        softness = length / 3.5
    elif choice < 0.28:  # enlarged from a small file
        factor = rng.uniform(1.3, 2.2)
        small = (max(int(width / factor), 8), max(int(height / factor), 8))
        image = cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height))
        softness = factor / 2.5
    spread = rng.uniform(0.5, 5) if rng.random() < 0.7 else rng.uniform(5, 16)
    if exposure < 1:
        spread += 4
    # One noise tile, cut at a random offset per channel: a tenth of the cost of fresh noise.
    tile = rng.integers(-256, 257, (128, 160, 3)).astype(np.float32) * (spread / 148)
    rows, columns = -(-height // 128), -(-width // 160)
    noise = np.tile(tile.astype(np.int16), (rows, columns, 1))[:height, :width]
    return cv2.add(image, noise, dtype=cv2.CV_8U), softness
